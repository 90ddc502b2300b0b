/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The subcommands of xcapctl, one cmd_*.c each. argv[0] is the command's name; the options that
 * stood before it (--instance NAME, --socket PATH, --run-dir DIR) follow it, then what stood behind
 * it, so that a command reads all from its argv. xcapctl lets a command have only those of them
 * that its row in the table names. The result is the exit code: 0, 1 failure, 2 usage, 69, 77.
 */
#pragma once

int cmd_pki(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_cat(int argc, char **argv);
int cmd_maps(int argc, char **argv);
int cmd_filter(int argc, char **argv);
int cmd_watch(int argc, char **argv);
