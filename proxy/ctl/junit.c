/* SPDX-License-Identifier: Apache-2.0
 *
 * junit.c - see junit.h. */
#include "proxy/ctl/junit.h"

#include "sallyport/text.h"

/* What XML 1.0 cannot hold becomes U+FFFD: control bytes and what is no UTF-8. */
static void put_text(FILE *to, struct slice s)
{
	while (s.len > 0) {
		size_t n = text_utf8_length(s);
		unsigned char c = (unsigned char)s.at[0];

		if (n == 0 || (c < ' ' && c != '\n' && c != '\t'))
			fputs("\xef\xbf\xbd", to);
		else if (c == '&')
			fputs("&amp;", to);
		else if (c == '<')
			fputs("&lt;", to);
		else if (c == '>')
			fputs("&gt;", to);
		else if (c == '"')
			fputs("&quot;", to);
		else if (c == '\n')
			fputs("&#10;", to);
		else
			fwrite(s.at, 1, n, to);
		s = slice_from(s, n > 0 ? n : 1);
	}
}

static void put_attribute(FILE *to, const char *name, struct slice value)
{
	fprintf(to, " %s=\"", name);
	put_text(to, value);
	fputc('"', to);
}

void junit_begin(FILE *to)
{
	fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n", to);
}

static void put_result(FILE *to, const char *suite, const struct junit_result *r)
{
	struct slice why = slice_of(r->failure);

	fputs("\t\t<testcase", to);
	put_attribute(to, "name", r->name);
	put_attribute(to, "classname", slice_of(suite));
	put_attribute(to, "file", slice_of(r->file));
	fprintf(to, " line=\"%u\" time=\"%.6f\"", r->line, r->seconds);
	if (r->failure == NULL) {
		fputs("/>\n", to);
		return;
	}
	fputs(">\n\t\t\t<failure", to);
	put_attribute(to, "message", slice_cut(&why, '\n'));
	fputc('>', to);
	put_text(to, slice_of(r->failure));
	fputs("</failure>\n\t\t</testcase>\n", to);
}

void junit_suite(FILE *to, const char *name, const struct junit_result *results, size_t count)
{
	size_t failures = 0;
	double seconds = 0;

	for (size_t i = 0; i < count; i++) {
		failures += results[i].failure != NULL;
		seconds += results[i].seconds;
	}
	fputs("\t<testsuite", to);
	put_attribute(to, "name", slice_of(name));
	fprintf(to, " tests=\"%zu\" failures=\"%zu\" errors=\"0\" skipped=\"0\" time=\"%.6f\">\n", count, failures,
		seconds);
	for (size_t i = 0; i < count; i++)
		put_result(to, name, &results[i]);
	fputs("\t</testsuite>\n", to);
}

void junit_end(FILE *to)
{
	fputs("</testsuites>\n", to);
}
