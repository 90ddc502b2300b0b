# SPDX-License-Identifier: GPL-2.0-or-later
# xcap: capture packets on many hosts, merge them in one place.
#
#   make deps       install the Debian packages that building and testing need
#   make            build everything into $(O)/
#   make run        capture on this machine: PKI, aggregator, agent, live counters (root)
#                   IF=eth1 names the interface, DURATION=10 stops after 10 s
#   make check      every test: unit, fuzz corpora, BPF, network namespaces (root)
#   make check-unit check-fuzz check-bpf check-net     a part of them
#   make check-san  unit tests, corpora and a live capture under ASan/UBSan and TSan (root)
#   make check-kernel  parts that are known to pass on 6.1, on Debian's kernel in qemu (root)
#   make bench      measurements beside their targets and peers (root)
#   make lint       layering, headers, format, shell, man pages
#   make analyze    gcc -fanalyzer, scan-build, cppcheck
#   make fuzz       run each fuzzer for FUZZ_SECONDS (clang)
#   make vmlinux    print the kernel types that vmlinux.h declares, from this kernel's BTF
#   make format     clang-format in place
#   make install    into $(DESTDIR)$(prefix)
#   make uninstall  remove what install put there
#   make clean      remove $(O)/
#
# Variables: O=build V=1 SAN=address,undefined SAN=thread WERROR=0 CC CLANG BPFTOOL
#            CFLAGS LDFLAGS DESTDIR prefix=/usr/local sbindir bindir mandir

MAKEFLAGS += --no-builtin-rules --no-builtin-variables
.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL := all

VERSION := 0.1.0

# ?= does not see that make's own defaults of these two go away with --no-builtin-variables.
ifneq ($(filter default undefined,$(origin CC)),)
CC := gcc
endif
ifneq ($(filter default undefined,$(origin AR)),)
AR := ar
endif

O       ?= build
CLANG   ?= clang
BPFTOOL ?= bpftool
INSTALL ?= install
PKGCONF ?= pkg-config

prefix  ?= /usr/local
bindir  ?= $(prefix)/bin
sbindir ?= $(prefix)/sbin
mandir  ?= $(prefix)/share/man
docdir  ?= $(prefix)/share/doc/xcap

CFLAGS  ?= -O2 -g
WERROR  ?= 1
FUZZ_SECONDS ?= 60

V ?= 0
ifeq ($(V),0)
Q   := @
say  = @printf '  %-8s %s\n' "$(1)" "$(2)"
else
Q   :=
say  = @:
endif

LIBS := libbpf libxdp liburing openssl libelf zlib libzstd libisal libpcap yaml-0.1 jansson
TEST_LIBS := cmocka

no_build_goals := deps help format clean vmlinux lint-commits
ifneq ($(filter-out $(no_build_goals),$(or $(MAKECMDGOALS),all)),)
building := 1
endif

# `make run` and `make check` start from a bare machine: they install what is missing first.
have_deps := $(shell scripts/deps --check >/dev/null 2>&1 && echo yes)

ifdef building
ifeq ($(have_deps),yes)
missing := $(strip $(foreach l,$(LIBS),$(shell $(PKGCONF) --exists $(l) || echo $(l))))
ifneq ($(missing),)
$(error missing libraries: $(missing) (`make deps` installs them; see Documentation/building.md))
endif
LIB_CFLAGS := $(shell $(PKGCONF) --cflags $(LIBS))
LIB_LIBS   := $(shell $(PKGCONF) --libs $(LIBS))
endif
endif

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
	-Wpointer-arith -Wwrite-strings -Wimplicit-fallthrough -Wswitch-enum -Wundef
ifeq ($(WERROR),1)
WARNINGS += -Werror
endif

XCFLAGS := -std=gnu11 -D_GNU_SOURCE -DXCAP_VERSION='"$(VERSION)"' -I. -I$(O)/gen $(WARNINGS) \
	-fPIE -fno-strict-aliasing -pthread $(LIB_CFLAGS)
XLDFLAGS := -pie -pthread -Wl,-z,relro,-z,now
ifneq ($(SAN),)
XCFLAGS  += -fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=undefined -DXCAP_SANITIZE=1
XLDFLAGS += -fsanitize=$(SAN)
else
XCFLAGS  += -fstack-protector-strong $(if $(findstring -O0,$(CFLAGS)),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif

BPF_CFLAGS := -g -O2 -target bpf -mcpu=v3 -I. -Wall -Wextra -Werror

# Every directory is an archive of all its sources but the mains; a new .c needs no change here.
common_src     := $(wildcard common/*.c)
bpf_src        := $(wildcard bpf/*.c)
bpf_src        := $(filter-out %.bpf.c,$(bpf_src))
agent_src      := $(filter-out agent/main.c,$(wildcard agent/*.c))
aggregator_src := $(filter-out aggregator/main.c,$(wildcard aggregator/*.c))
ctl_src        := tools/daemon.c tools/packed_file.c $(wildcard tools/cmd_*.c)
bpf_objects    := $(wildcard bpf/*.bpf.c tools/*.bpf.c selftests/bpf/*.bpf.c)
skeletons      := $(patsubst %.bpf.c,$(O)/gen/%.skel.h,$(bpf_objects))

objs = $(patsubst %.c,$(O)/%.o,$(1))

programs := $(O)/xcapd $(O)/xcap-aggregator $(O)/xcapctl $(O)/xcap-gen
unit_tests := $(patsubst selftests/unit/%.c,$(O)/selftests/unit/%,$(wildcard selftests/unit/*_test.c))
bpf_tests := $(patsubst selftests/bpf/%.c,$(O)/selftests/bpf/%,$(wildcard selftests/bpf/*_test.c))
fuzzers := $(patsubst selftests/fuzz/%.c,$(O)/selftests/fuzz/%,$(wildcard selftests/fuzz/*_fuzz.c))
helpers := $(patsubst selftests/net/%.c,$(O)/selftests/net/%,$(wildcard selftests/net/*.c)) \
	$(patsubst selftests/bench/%.c,$(O)/selftests/bench/%,$(wildcard selftests/bench/*.c))

.PHONY: all deps run check check-unit check-fuzz check-bpf check-net check-san check-kernel bench \
	lint analyze fuzz vmlinux format install uninstall clean help selftests lint-commits

ifeq ($(have_deps),yes)
all: $(programs)
selftests: $(programs) $(unit_tests) $(bpf_tests) $(fuzzers) $(helpers)
else
# Nothing is installed yet: do that, then start over with the libraries in place.
all selftests: deps
	$(Q)$(MAKE) --no-print-directory $@
endif

help:
	@sed -n '2,/^$$/s/^# \{0,1\}//p' Makefile

deps:
	$(Q)scripts/deps

$(O)/%.o: %.c | $(skeletons)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(XCFLAGS) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(O)/%.bpf.o: %.bpf.c
	$(call say,BPF,$@)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -c -o $@ $<

.PRECIOUS: $(O)/%.bpf.o $(O)/%.o
# The name of an object is that of its file and at most 8 characters: the kernel shows
# NAME.rodata, cut to 15.
$(O)/gen/%.skel.h: $(O)/%.bpf.o
	$(call say,SKEL,$@)
	@mkdir -p $(@D)
	$(Q)$(BPFTOOL) gen skeleton $< name xcap_$(notdir $*) >$@

define archive
$(O)/$(1).a: $$(call objs,$$($(1)_src))
	$$(call say,AR,$$@)
	@mkdir -p $$(@D)
	$$(Q)rm -f $$@ && $$(AR) rcs $$@ $$^
endef
$(foreach a,common bpf agent aggregator ctl,$(eval $(call archive,$(a))))

link = $(Q)$(CC) $(CFLAGS) $(XLDFLAGS) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) $(LIB_LIBS)

$(O)/xcapd: $(O)/agent/main.o $(O)/agent.a $(O)/bpf.a $(O)/common.a
	$(call say,LINK,$@)
	$(link)
$(O)/xcap-aggregator: $(O)/aggregator/main.o $(O)/aggregator.a $(O)/common.a
	$(call say,LINK,$@)
	$(link)
$(O)/xcapctl: $(O)/tools/xcapctl.o $(O)/ctl.a $(O)/bpf.a $(O)/common.a
	$(call say,LINK,$@)
	$(link)
$(O)/xcap-gen: $(O)/tools/xcap-gen.o $(O)/bpf.a $(O)/common.a
	$(call say,LINK,$@)
	$(link)

test_archives := $(O)/agent.a $(O)/aggregator.a $(O)/bpf.a $(O)/common.a
$(O)/selftests/unit/%: $(O)/selftests/unit/%.o $(test_archives)
	$(call say,LINK,$@)
	$(link) $(shell $(PKGCONF) --libs $(TEST_LIBS))
$(O)/selftests/bpf/%_test: $(O)/selftests/bpf/%_test.o $(test_archives)
	$(call say,LINK,$@)
	$(link) $(shell $(PKGCONF) --libs $(TEST_LIBS))
$(O)/selftests/fuzz/%_fuzz: $(O)/selftests/fuzz/%_fuzz.o $(O)/selftests/fuzz/replay.o $(test_archives)
	$(call say,LINK,$@)
	$(link)
$(O)/selftests/net/%: $(O)/selftests/net/%.o $(test_archives)
	$(call say,LINK,$@)
	$(link)
$(O)/selftests/bench/%: $(O)/selftests/bench/%.o $(test_archives)
	$(call say,LINK,$@)
	$(link)

export O
run: all
	$(Q)scripts/run
check: selftests
	$(Q)selftests/run lint unit fuzz bpf san net
check-unit check-fuzz check-bpf check-net check-san: check-%: selftests
	$(Q)selftests/run $*
check-kernel: selftests
	$(Q)selftests/kernel/run

bench: selftests
	$(Q)selftests/bench/run

lint: $(if $(filter yes,$(have_deps)),$(skeletons),deps)
	$(Q)scripts/lint
analyze: $(skeletons)
	$(Q)scripts/analyze
lint-commits:
	$(Q)scripts/check-commits

# The fuzzers proper need libFuzzer, hence clang; `check-fuzz` replays the corpora with any compiler.
fuzz:
	$(Q)scripts/fuzz $(FUZZ_SECONDS)

vmlinux:
	$(Q)scripts/vmlinux

format:
	$(Q)git ls-files '*.c' '*.h' ':!vmlinux.h' | xargs clang-format -i

install: all
	$(INSTALL) -d $(DESTDIR)$(sbindir) $(DESTDIR)$(bindir) $(DESTDIR)$(mandir)/man8 $(DESTDIR)$(docdir)
	$(INSTALL) -m 755 $(O)/xcapd $(O)/xcap-aggregator $(DESTDIR)$(sbindir)
	$(INSTALL) -m 755 $(O)/xcapctl $(O)/xcap-gen $(DESTDIR)$(bindir)
	$(INSTALL) -m 644 Documentation/man/*.8 $(DESTDIR)$(mandir)/man8
	$(INSTALL) -m 644 README.md Documentation/*.md $(DESTDIR)$(docdir)

uninstall:
	rm -f $(addprefix $(DESTDIR)$(sbindir)/,xcapd xcap-aggregator) \
		$(addprefix $(DESTDIR)$(bindir)/,xcapctl xcap-gen) \
		$(addprefix $(DESTDIR)$(mandir)/man8/,$(notdir $(wildcard Documentation/man/*.8)))
	rm -rf $(DESTDIR)$(docdir)

clean:
	rm -rf $(O)

-include $(shell find $(O) -name '*.d' 2>/dev/null)
