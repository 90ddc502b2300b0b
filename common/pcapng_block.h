/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers of the two file formats, shared by encoder and decoder only. */
#pragma once

#define BLOCK_SHB 0x0a0d0d0au /* the same in both byte orders */
#define BLOCK_IDB 1
#define BLOCK_PB 2 /* obsolete Packet Block */
#define BLOCK_SPB 3
#define BLOCK_ISB 5
#define BLOCK_EPB 6
#define BLOCK_LEN_MIN 12
#define BYTE_ORDER_MAGIC 0x1a2b3c4du

#define EPB_DATA 28	/* offset of a packet's bytes in an EPB or PB */
#define EPB_OVERHEAD 32 /* EPB or PB without bytes and options */
#define SPB_DATA 12
#define SPB_OVERHEAD 16

enum { OPT_END, OPT_COMMENT };
enum { SHB_HARDWARE = 2, SHB_OS, SHB_USERAPPL };
enum {
	IF_NAME = 2,
	IF_DESCRIPTION,
	IF_SPEED = 8,
	IF_TSRESOL,
	IF_FILTER = 11,
	IF_OS,
	IF_TSOFFSET = 14,
};
enum { EPB_FLAGS = 2, EPB_DROPCOUNT = 4, EPB_PACKETID, EPB_QUEUE };
enum {
	ISB_STARTTIME = 2,
	ISB_ENDTIME,
	ISB_IFRECV,
	ISB_IFDROP,
	ISB_FILTERACCEPT,
	ISB_OSDROP,
	ISB_USRDELIV,
};

#define IF_FILTER_STRING 0
#define TSRESOL_NS 9
#define TSRESOL_DEFAULT 6
#define TSRESOL_BINARY 0x80

#define PCAP_MAGIC_US 0xa1b2c3d4u
#define PCAP_MAGIC_NS 0xa1b23c4du
#define PCAP_MAGIC_KUZNETZOV 0xa1b2cd34u /* microseconds, 8 more bytes in each record's header */
#define PCAP_HEADER_LEN 24
#define PCAP_RECORD_LEN 16
#define PCAP_RECORD_LEN_KUZNETZOV 24
