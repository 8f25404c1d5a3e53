# SPDX-License-Identifier: GPL-2.0-or-later

# check-torch: the Python module with Debian's torch, which is fetched once
.PHONY: check-torch
check-torch:
	tests/embed/torch
