/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What xcapd ends with, beside EXIT_SUCCESS and EXIT_FAILURE. */
#pragma once

#include <errno.h>
#include <stdlib.h>

#define EXIT_UNAVAILABLE 69
#define EXIT_NO_PERMISSION 77
#define EXIT_CONFIG 78

/* err: 0 or a negative errno. */
static inline int exit_code(int err)
{
	if (err == -EPERM || err == -EACCES)
		return EXIT_NO_PERMISSION;
	/* What is asked for is not to be had here. */
	if (err == -EDOM)
		return EXIT_CONFIG;
	/* What the driver cannot do. */
	if (err == -EPROTONOSUPPORT)
		return EXIT_UNAVAILABLE;
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}
