// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tool.h"

int tool_find(struct tool *tool)
{
	char self_path[200] = "";

	if (readlink("/proc/self/exe", self_path, sizeof(self_path) - 1) < 0)
		return -errno;
	snprintf(tool->path, sizeof(tool->path), "%s/kvoffctl", dirname(self_path));
	return access(tool->path, X_OK) ? -errno : 0;
}

const char *tool_run(struct tool *tool, const char *arguments)
{
	char command[600];
	FILE *f;
	size_t n;

	snprintf(command, sizeof(command), "%s %s 2>&1", tool->path, arguments);
	tool->out[0] = 0;
	tool->status = -1;
	f = popen(command, "r");
	if (!f)
		return tool->out;
	n = fread(tool->out, 1, sizeof(tool->out) - 1, f);
	tool->out[n] = 0;
	tool->status = pclose(f);
	tool->status = WIFEXITED(tool->status) ? WEXITSTATUS(tool->status) : -1;
	return tool->out;
}
