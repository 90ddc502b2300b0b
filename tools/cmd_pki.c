/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xcapctl pki: a CA in a folder of files. */
#include "tools/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/pki.h"
#include "common/stream.h"

#define EXIT_USAGE 2
#define DAYS_MAX 36500
#define DAY_S 86400
#define FILE_LEN_MAX (64 * KIB)
#define TEXT_LEN 320

static const char usage[] =
	"Usage: xcapctl pki init DIR [--algorithm ALG] [--days N] [--force]\n"
	"       xcapctl pki issue DIR agent NAME [--algorithm ALG] [--days N] [--force]\n"
	"       xcapctl pki issue DIR aggregator NAME --san HOST [--san HOST]... [...]\n"
	"\n"
	"Makes the certificates with which agents and aggregators know each other: a CA in\n"
	"DIR/ca.crt and DIR/ca.key, and what it issues in DIR/NAME.crt and DIR/NAME.key.\n"
	"A host needs ca.crt and its own two files; ca.key stays where it was made.\n"
	"\n"
	"  NAME             id: 1 to 64 of a-z 0-9 . _ -\n"
	"  --san HOST       a DNS name or IP address by which agents reach the aggregator\n"
	"  --algorithm ALG  ecdsa-p256 (default of init) or ed25519; issue takes the CA's\n"
	"  --days N         valid for N days: 3650 for a CA, else 90\n"
	"  --force          replace what is there; a new CA makes all it issued before useless\n"
	"  --help           this text\n";

/* Above every character, so that a long option is told from a short one in errors. */
enum { OPTION_ALGORITHM = 256, OPTION_DAYS, OPTION_SAN, OPTION_FORCE };

struct options {
	enum pki_algorithm algorithm;
	long days; /* 0: default */
	bool force, help;
	const char **hosts;
	size_t host_count;
};

static int complain(int code, const char *format, ...) printf_like(2, 3);
static int complain(int code, const char *format, ...)
{
	va_list args;

	fputs("xcapctl pki: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputs(code == EXIT_USAGE ? " (see xcapctl pki --help)\n" : "\n", stderr);
	return code;
}

static int parse_days(long *ret, const char *text)
{
	char *end;
	long days;

	errno = 0;
	days = strtol(text, &end, 10);
	if (errno || end == text || *end || days < 1 || days > DAYS_MAX)
		return complain(EXIT_USAGE, "--days %s: a number from 1 to %d is needed", text,
				DAYS_MAX);
	*ret = days;
	return 0;
}

static int parse_options(struct options *options, int argc, char **argv)
{
	static const struct option table[] = {
		{ "algorithm", required_argument, NULL, OPTION_ALGORITHM },
		{ "days", required_argument, NULL, OPTION_DAYS },
		{ "san", required_argument, NULL, OPTION_SAN },
		{ "force", no_argument, NULL, OPTION_FORCE },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	int option, code;

	opterr = 0;
	optind = 0; /* xcapctl has parsed its own options before */
	while ((option = getopt_long(argc, argv, ":h", table, NULL)) != -1) {
		switch (option) {
		case OPTION_ALGORITHM:
			if (pki_algorithm_parse(&options->algorithm, optarg))
				return complain(EXIT_USAGE,
						"--algorithm %s: ecdsa-p256 or ed25519 is needed",
						optarg);
			break;
		case OPTION_DAYS:
			code = parse_days(&options->days, optarg);
			if (code)
				return code;
			break;
		case OPTION_SAN:
			if (pki_host_kind(optarg) == PKI_HOST_INVALID)
				return complain(EXIT_USAGE,
						"--san %s: neither a DNS name nor an IP address "
						"(no port, no brackets)",
						optarg);
			options->hosts[options->host_count++] = optarg;
			break;
		case OPTION_FORCE:
			options->force = true;
			break;
		case 'h':
			options->help = true;
			break;
		case ':':
			return complain(EXIT_USAGE, "option %s needs a value", argv[optind - 1]);
		default:
			if (optopt && optopt < OPTION_ALGORITHM)
				return complain(EXIT_USAGE, "unknown option -%c", optopt);
			return complain(EXIT_USAGE, "unknown option %s", argv[optind - 1]);
		}
	}
	return 0;
}

/* DIR/NAMEsuffix; NULL (and a complaint) if that is longer than any path. */
static char *join(char out[4096], const char *dir, const char *name, const char *suffix)
{
	if (snprintf(out, 4096, "%s/%s%s", dir, name, suffix) < 4096)
		return out;
	complain(EXIT_FAILURE, "path of %s%s is too long", name, suffix);
	return NULL;
}

static int write_all(int fd, const struct buf *data)
{
	for (size_t at = 0; at < data->len;) {
		ssize_t n = write(fd, data->data + at, data->len - at);

		if (n < 0 && errno != EINTR)
			return -errno;
		at += (size_t)MAX(n, 0);
	}
	return 0;
}

static int sync_directory(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	err = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return err;
}

/* Whole or not at all; -EEXIST if it is there and not to be replaced. */
static int write_file(const char *dir, const char *path, mode_t mode, const struct buf *data,
		      bool replace)
{
	char temporary[4096];
	int fd, err;

	if (snprintf(temporary, sizeof(temporary), "%s/.xcap-pki.XXXXXX", dir) >=
	    (int)sizeof(temporary))
		return -ENAMETOOLONG;
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = write_all(fd, data);
	if (!err && (fchmod(fd, mode) < 0 || fsync(fd) < 0))
		err = -errno;
	close(fd);
	/* link() does not replace, and says so without a race. */
	if (!err && (replace ? rename(temporary, path) : link(temporary, path)) < 0)
		err = -errno;
	if (err || !replace)
		unlink(temporary);
	return err ? err : sync_directory(dir);
}

/* The key first: a certificate is never there without its key. */
static int write_pair(const char *dir, const char *name, const struct pki_pair *pair, bool replace)
{
	char cert_path[4096], key_path[4096];
	const char *path = key_path;
	int err;

	if (!join(cert_path, dir, name, ".crt") || !join(key_path, dir, name, ".key"))
		return EXIT_FAILURE;
	if (!replace && (access(cert_path, F_OK) == 0 || access(key_path, F_OK) == 0))
		return complain(EXIT_FAILURE, "%s exists: it is not replaced without --force",
				access(cert_path, F_OK) == 0 ? cert_path : key_path);
	err = write_file(dir, key_path, 0600, &pair->key, replace);
	if (!err) {
		path = cert_path;
		err = write_file(dir, cert_path, 0644, &pair->certificate, replace);
		if (err && !replace)
			unlink(key_path);
	}
	if (err)
		return complain(EXIT_FAILURE, "cannot write %s: %s", path, strerror(-err));
	return 0;
}

static const char *date(int64_t seconds, char out[32])
{
	time_t time = seconds;
	struct tm tm;

	gmtime_r(&time, &tm);
	strftime(out, 32, "%Y-%m-%d", &tm);
	return out;
}

static int init(const char *dir, const struct options *options)
{
	int64_t now = time(NULL);
	long days = options->days ? options->days : PKI_CA_DAYS;
	char error[PKI_ERROR_LEN], until[32];
	struct pki_pair ca = {};
	int code;

	if (options->host_count)
		return complain(EXIT_USAGE, "--san is for 'issue DIR aggregator NAME'");
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return complain(EXIT_FAILURE, "cannot create %s: %s", dir, strerror(errno));
	if (pki_ca_create(&ca, options->algorithm, now - PKI_BACKDATE_S, now + days * DAY_S, error))
		return complain(EXIT_FAILURE, "%s", error);
	code = write_pair(dir, "ca", &ca, options->force);
	if (!code)
		printf("%s/ca.crt and ca.key: valid until %s; whoever has ca.key can be anyone\n",
		       dir, date(ca.not_after, until));
	pki_pair_release(&ca);
	return code;
}

static int read_file(struct buf *out, const char *path, bool secret)
{
	struct stat st = {};
	ssize_t n = -1;
	int fd, code;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return complain(EXIT_FAILURE, "cannot open %s: %s%s", path, strerror(errno),
				errno == ENOENT ? " (make a CA by 'xcapctl pki init DIR')" : "");
	if (fstat(fd, &st) < 0 || (secret && (st.st_mode & 077))) {
		code = complain(EXIT_FAILURE,
				"%s: others may use this key (mode %04o): chmod 600 %s", path,
				st.st_mode & 07777, path);
		goto out;
	}
	if (buf_reserve(out, FILE_LEN_MAX))
		n = read(fd, out->data, FILE_LEN_MAX);
	if (n >= 0)
		buf_commit(out, (size_t)n);
	code = n < 0 ? complain(EXIT_FAILURE, "cannot read %s: %s", path, strerror(errno)) : 0;
out:
	close(fd);
	return code;
}

static int read_ca(struct pki_pair *ca, const char *dir)
{
	char path[4096];
	int code;

	if (!join(path, dir, "ca", ".crt"))
		return EXIT_FAILURE;
	code = read_file(&ca->certificate, path, false);
	if (code)
		return code;
	return join(path, dir, "ca", ".key") ? read_file(&ca->key, path, true) : EXIT_FAILURE;
}

static int issue_checked(const char *dir, const char *kind, const char *name,
			 const struct options *options)
{
	bool is_agent = strcmp(kind, "agent") == 0;
	int64_t now = time(NULL),
		not_after = now + DAY_S * (options->days ? options->days : PKI_DAYS);
	char uri[TEXT_LEN], error[PKI_ERROR_LEN], until[32];
	struct pki_pair ca = {}, pair = {};
	struct pki_request request = {
		.common_name = name,
		.uri = uri,
		.host = options->hosts,
		.host_count = options->host_count,
		.client = true,
		.server = !is_agent,
		.algorithm = options->algorithm,
		.not_before = now - PKI_BACKDATE_S,
		.not_after = not_after,
	};
	int code;

	snprintf(uri, sizeof(uri), "xcap:%s:%s", kind, name);
	code = read_ca(&ca, dir);
	if (code)
		goto out;
	if (pki_issue(&pair, &ca, &request, error)) {
		code = complain(EXIT_FAILURE, "%s: %s", dir, error);
		goto out;
	}
	if (pair.not_after <= now) {
		code = complain(EXIT_FAILURE, "the CA in %s expired on %s: make a new one", dir,
				date(pair.not_after, until));
		goto out;
	}
	code = write_pair(dir, name, &pair, options->force);
	if (!code)
		printf("%s/%s.crt and %s.key: %s, valid until %s%s\n", dir, name, name, uri,
		       date(pair.not_after, until), pair.not_after < not_after ? " as its CA" : "");
out:
	pki_pair_release(&pair);
	pki_pair_release(&ca);
	return code;
}

static int issue(const char *dir, const char *kind, const char *name, const struct options *options)
{
	bool is_agent = strcmp(kind, "agent") == 0;

	if (!is_agent && strcmp(kind, "aggregator") != 0)
		return complain(EXIT_USAGE, "'%s': agent or aggregator is needed", kind);
	if (!agent_id_valid(name))
		return complain(EXIT_USAGE, "name '%s': 1 to %d of a-z 0-9 . _ - are needed", name,
				AGENT_ID_MAX);
	if (strcmp(name, "ca") == 0)
		return complain(EXIT_USAGE, "name 'ca': it would replace the CA's files");
	if (is_agent && options->host_count)
		return complain(EXIT_USAGE,
				"--san is for aggregators: nobody connects to an agent");
	if (!is_agent && !options->host_count)
		return complain(EXIT_USAGE,
				"an aggregator needs --san HOST: the name or address that agents "
				"connect to");
	return issue_checked(dir, kind, name, options);
}

int cmd_pki(int argc, char **argv)
{
	struct options options = {};
	const char *command;
	int count, code;

	options.hosts = calloc((size_t)argc, sizeof(*options.hosts));
	if (!options.hosts)
		return complain(EXIT_FAILURE, "out of memory");
	code = parse_options(&options, argc, argv);
	if (code)
		goto out;
	if (options.help) {
		fputs(usage, stdout);
		goto out;
	}
	command = optind < argc ? argv[optind] : "";
	count = argc - optind;
	if (!*command)
		code = complain(EXIT_USAGE, "init or issue is needed");
	else if (strcmp(command, "init") == 0)
		code = count == 2 ? init(argv[optind + 1], &options)
				  : complain(EXIT_USAGE, "init needs DIR and nothing else");
	else if (strcmp(command, "issue") == 0)
		code = count == 4 ? issue(argv[optind + 1], argv[optind + 2], argv[optind + 3],
					  &options)
				  : complain(EXIT_USAGE,
					     "issue needs DIR, agent or aggregator, and NAME");
	else
		code = complain(EXIT_USAGE, "unknown command '%s': init or issue is needed",
				command);
out:
	free(options.hosts);
	return code;
}
