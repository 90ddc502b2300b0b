/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/crc32c.h"

#include <isa-l/crc.h>

uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
	/* iSCSI (RFC 3720) made this polynomial known; ISA-L leaves the inversions to the caller.
	 */
	return ~crc32_iscsi((unsigned char *)(uintptr_t)data, (int)len, ~crc);
}
