/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lists of addresses out of the files that options name. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bpf/prefixes.h"
#include "common/buf.h"

#define CHUNK_LEN (64 * KIB)

static int read_all(struct buf *text, int fd)
{
	uint8_t *room;
	ssize_t len;

	do {
		if (text->len > PREFIXES_FILE_MAX)
			return -EFBIG;
		room = buf_reserve(text, CHUNK_LEN);
		if (!room)
			return -ENOMEM;
		len = read(fd, room, CHUNK_LEN);
		if (len > 0)
			buf_commit(text, (size_t)len);
	} while (len > 0 || (len < 0 && errno == EINTR));
	return len < 0 ? -errno : 0;
}

static int add_file(struct prefixes *prefixes, enum xcap_verdict verdict, const char *file,
		    char *error)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY), err;
	struct buf text = {};

	err = fd < 0 ? -errno : read_all(&text, fd);
	if (fd >= 0)
		close(fd);
	if (err) {
		explain(error, err, "cannot read the list %s", file);
		err = err == -ENOMEM ? err : -EBADMSG;
	} else {
		err = prefixes_add_text(prefixes, verdict, (const char *)text.data, text.len, file,
					error);
	}
	buf_release(&text);
	return err;
}

static int add_words(struct prefixes *prefixes, enum xcap_verdict verdict,
		     const struct prefixes_words *words, char *error)
{
	int err = 0;

	for (size_t i = 0; i < words->count && !err; i++) {
		const char *word = words->items[i];

		if (word[0] == '@')
			err = add_file(prefixes, verdict, word + 1, error);
		else if (word[0] == '/' || word[0] == '.')
			err = add_file(prefixes, verdict, word, error);
		else
			err = prefixes_add(prefixes, verdict, word, error);
	}
	return err;
}

int prefixes_load(struct prefixes *ret, const struct prefixes_words *allow,
		  const struct prefixes_words *deny, char error[EXPLAIN_LEN])
{
	struct prefixes prefixes = {};
	int err;

	err = add_words(&prefixes, XCAP_ALLOW, allow, error);
	if (!err)
		err = add_words(&prefixes, XCAP_DENY, deny, error);
	if (!err)
		err = prefixes_finish(&prefixes, error);
	if (err)
		prefixes_release(&prefixes);
	else
		*ret = prefixes;
	return err;
}
