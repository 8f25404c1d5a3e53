/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kvoffctl, run by a test. Comes after kselftest_harness.h.
 */
#ifndef TOOL_H
#define TOOL_H

/**
 * struct tool - the kvoffctl beside this program
 * @path:	where it is
 * @out:	what it said last, errors included
 * @status:	its exit status then, -1 if it did not end by itself
 */
struct tool {
	char path[256];
	char out[8192];
	int status;
};

/* Look for it. Returns 0 or -errno. */
int tool_find(struct tool *tool);
/* Run it with arguments as a shell takes them. Returns @out. */
const char *tool_run(struct tool *tool, const char *arguments);

/* It says this text, and ends with this status. */
#define TOOL_SAYS(tool, text, arguments, exit_code) do {						\
		EXPECT_NE(NULL, strstr(tool_run(tool, arguments), text)) TH_LOG("%s", (tool)->out);	\
		EXPECT_EQ(exit_code, (tool)->status) TH_LOG("%s", (tool)->out);				\
	} while (0)

#endif /* TOOL_H */
