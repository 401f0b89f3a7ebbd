/* SPDX-License-Identifier: Apache-2.0
 *
 * Copies of documents: another process gets the same set from them, or is told that it cannot. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sallyport/object.h"
#include "sallyport/resource.h"
#include "sallyport/resource/gateway.h"

#define FOLDER	"reg-tests/documents/seeds"

static int copy_of(const char *path, struct resource_set **set)
{
	int fd = memfd_create("copy", MFD_CLOEXEC);
	struct problems ps;

	assert_true(fd >= 0);
	problems_init(&ps);
	*set = resource_set_load_and_copy(&path, 1, fd, &ps);
	problems_fini(&ps);
	return fd;
}

static size_t errors_of_copy(int fd, struct resource_set **set)
{
	struct problems ps;
	size_t errors;

	problems_init(&ps);
	*set = resource_set_load_copy(fd, &ps);
	errors = ps.errors;
	problems_fini(&ps);
	return errors;
}

static void a_copy_is_the_same_set(void **state)
{
	struct resource_set *read, *copied;
	int fd = copy_of(FOLDER, &read);

	(void)state;
	assert_true(read->files > 1);
	for (int times = 0; times < 2; times++) {	/* its offset does not matter */
		(void)errors_of_copy(fd, &copied);
		assert_string_equal(copied->rev, read->rev);
		assert_int_equal(copied->files, read->files);
		assert_int_equal(copied->documents, read->documents);
		assert_int_equal(copied->gateways.count, read->gateways.count);
		assert_string_equal(copied->gateways.items[0]->meta->where.file,
				    read->gateways.items[0]->meta->where.file);
		assert_int_equal(copied->gateways.items[0]->meta->where.line,
				 read->gateways.items[0]->meta->where.line);
		resource_set_free(&copied);
	}
	resource_set_free(&read);
	close(fd);
}

static void half_a_copy_is_an_error(void **state)
{
	struct resource_set *read, *copied;
	int fd = copy_of(FOLDER "/jwt-04.yaml", &read);
	struct stat st;

	(void)state;
	assert_int_equal(fstat(fd, &st), 0);
	for (off_t bytes = st.st_size - 1; bytes > 0; bytes -= bytes > 64 ? 29 : 1) {
		assert_int_equal(ftruncate(fd, bytes), 0);
		assert_true(errors_of_copy(fd, &copied) > 0);
		assert_int_equal(copied->authorization_policies.count, 0);
		resource_set_free(&copied);
	}
	resource_set_free(&read);
	close(fd);
}

/* Lengths from another process: nothing behind the end is touched. */
static void lengths_beyond_the_end_are_refused(void **state)
{
	static const uint32_t heads[][2] = { { UINT32_MAX, 1 }, { 1, UINT32_MAX },
					     { UINT32_MAX, UINT32_MAX }, { 1, 8 } };
	struct resource_set *copied;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(heads); i++) {
		int fd = memfd_create("copy", MFD_CLOEXEC);

		assert_int_equal(write(fd, heads[i], sizeof(heads[i])), sizeof(heads[i]));
		assert_int_equal(write(fd, "a{}\n1234", 8), 8);
		assert_true(errors_of_copy(fd, &copied) > 0);
		resource_set_free(&copied);
		close(fd);
	}
	assert_true(errors_of_copy(-1, &copied) > 0);
	resource_set_free(&copied);
}

static void what_cannot_be_copied_is_an_error(void **state)
{
	const char *path = FOLDER "/jwt-04.yaml";
	struct resource_set *set;
	struct problems ps;

	(void)state;
	problems_init(&ps);
	set = resource_set_load_and_copy(&path, 1, 1 << 20, &ps);	/* no such descriptor */
	assert_true(ps.errors > 0);
	problems_fini(&ps);
	resource_set_free(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_copy_is_the_same_set),
		cmocka_unit_test(half_a_copy_is_an_error),
		cmocka_unit_test(lengths_beyond_the_end_are_refused),
		cmocka_unit_test(what_cannot_be_copied_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
