/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The older format: a header of the file, and records. */
#include <errno.h>

#include "common/pcapng_block.h"
#include "common/pcapng_decoder.h"

/* https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-03.html, and libpcap for what is older. */
ssize_t pcap_decode_header(struct pcapng_decoder *decoder, const uint8_t *data, size_t len,
			   enum pcapng_item *item)
{
	uint32_t magic = get_u32(data, decoder->big_endian);
	struct interface *interface;
	uint16_t major, minor;

	if (len < PCAP_HEADER_LEN)
		return 0;
	major = get_u16(data + 4, decoder->big_endian);
	minor = get_u16(data + 6, decoder->big_endian);
	/* 543.0 is what DG/UX wrote. */
	if ((major != 2 || minor > 4) && (major != 543 || minor != 0))
		return refuse(decoder, -EPROTONOSUPPORT, "a PCAP version that is not 2.0 to 2.4");
	if (pcapng_reserve_interface(decoder, &interface))
		return refuse(decoder, -ENOMEM, "out of memory");
	decoder->count++;
	interface->info.snaplen = get_u32(data + 16, decoder->big_endian);
	interface->info.link_type = (uint16_t)get_u32(data + 20, decoder->big_endian);
	interface->info.tsresol = magic == PCAP_MAGIC_NS ? TSRESOL_NS : TSRESOL_DEFAULT;
	pcapng_set_resolution(interface);
	decoder->fraction_ns = magic == PCAP_MAGIC_NS ? 1 : NS_PER_US;
	decoder->record_len =
		magic == PCAP_MAGIC_KUZNETZOV ? PCAP_RECORD_LEN_KUZNETZOV : PCAP_RECORD_LEN;
	decoder->lengths = major == 543 || minor < 3 ? LENGTHS_ORIGINAL_FIRST
			   : minor == 3		     ? LENGTHS_SMALLER_IS_CAPTURED
						     : LENGTHS_CAPTURED_FIRST;
	decoder->format = FORMAT_PCAP;
	*item = PCAPNG_ITEM_INTERFACE;
	return PCAP_HEADER_LEN;
}

ssize_t pcap_decode_record(struct pcapng_decoder *decoder, const uint8_t *data, size_t len,
			   enum pcapng_item *item, struct pcapng_packet *packet)
{
	bool big_endian = decoder->big_endian;
	uint32_t captured_len, original_len, swap;

	if (len < decoder->record_len)
		return 0;
	captured_len = get_u32(data + 8, big_endian);
	original_len = get_u32(data + 12, big_endian);
	if (decoder->lengths == LENGTHS_ORIGINAL_FIRST ||
	    (decoder->lengths == LENGTHS_SMALLER_IS_CAPTURED && captured_len > original_len)) {
		swap = captured_len;
		captured_len = original_len;
		original_len = swap;
	}
	if (captured_len > PCAPNG_BLOCK_MAX)
		return refuse(decoder, -EMSGSIZE, "a record is too long");
	if (captured_len > len - decoder->record_len)
		return 0;
	*packet = (struct pcapng_packet){
		.time_ns = get_u32(data, big_endian) * NS_PER_SEC +
			   get_u32(data + 4, big_endian) * decoder->fraction_ns,
		.captured_len = captured_len,
		.original_len = original_len,
		.data = data + decoder->record_len,
	};
	*item = PCAPNG_ITEM_PACKET;
	return (ssize_t)(decoder->record_len + captured_len);
}
