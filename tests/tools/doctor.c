// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kvoffctl on machines that are described by a folder: each thing that the doctor knows is found where it is, and only
 * there, with the command that mends it.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <utime.h>

#include <kvoff.h>

#include "tests/tools/ktap.h"
#include "tools/json_read.h"

#define RELEASE	"6.12.1-test"

/* A file below the machine's root. */
static void set(const char *path, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void set(const char *path, const char *fmt, ...)
{
	char full[512], text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(full, sizeof(full), "m%s", path);
	put(full, text);
}

static void set_link(const char *path, const char *target)
{
	char full[512];

	snprintf(full, sizeof(full), "m%s", path);
	put_link(full, target);
}

static void tier(const char *name, int id, int node, int rank)
{
	static const struct {
		const char *name;
		unsigned long long value;
	} files[] = {
		{ "capacity_bytes", 1ULL << 30 },
		{ "used_bytes", 1ULL << 28 },
		{ "free_bytes", 3ULL << 28 },
		{ "orphan_bytes", 0 },
		{ "poisoned_bytes", 0 },
		{ "latency_ns", 100 },
		{ "bandwidth_mbps", 40000 },
		{ "pools/64kB/filled_bytes", 1ULL << 30 },
	};
	char path[128];
	size_t i;

	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "/sys/class/kvoff/tiers/%s/%s", name, files[i].name);
		set(path, "%llu\n", files[i].value);
	}
	snprintf(path, sizeof(path), "/sys/class/kvoff/tiers/%s/id", name);
	set(path, "%d\n", id);
	snprintf(path, sizeof(path), "/sys/class/kvoff/tiers/%s/node", name);
	set(path, "%d\n", node);
	snprintf(path, sizeof(path), "/sys/class/kvoff/tiers/%s/rank", name);
	set(path, "%d\n", rank);
	snprintf(path, sizeof(path), "/sys/class/kvoff/tiers/%s/state", name);
	set(path, "ready\n");
}

static void node(int n, int kb_total, int kb_free)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/meminfo", n);
	set(path, "Node %d MemTotal:       %d kB\nNode %d MemFree:        %d kB\n", n, kb_total, n, kb_free);
}

static void counter(const char *name, int value)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/class/kvoff/stats/%s", name);
	set(path, "%d\n", value);
}

static void block(int n, int number, const char *state, const char *zones)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/memory%d/state", n, number);
	set(path, "%s\n", state);
	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/memory%d/valid_zones", n, number);
	set(path, "%s\n", zones);
}

/* Two CXL devices below two host bridges, two windows; mem0 behind the second, in a region. */
static void cxl(void)
{
	static const char *const dirs[] = {
		"/sys/devices/pci0/hb12/mem1", "/sys/devices/pci0/hb53/mem0", "/sys/devices/cxl/root0/decoder0.0",
		"/sys/devices/cxl/root0/decoder0.1", "/sys/devices/cxl/root0/port1/endpoint3/decoder3.0",
		"/sys/devices/cxl/root0/port2/endpoint4/decoder4.0", "/sys/devices/cxl/root0/decoder0.1/region0",
	};
	char link[128], target[160];
	size_t i;

	set("/sys/devices/pci0/hb12/mem1/ram/size", "0x40000000\n");
	set("/sys/devices/pci0/hb53/mem0/ram/size", "0x40000000\n");
	set("/sys/devices/cxl/root0/decoder0.0/target_list", "12\n");
	set("/sys/devices/cxl/root0/decoder0.1/target_list", "53\n");
	set("/sys/devices/cxl/root0/decoder0.0/cap_ram", "1\n");
	set("/sys/devices/cxl/root0/decoder0.1/cap_ram", "1\n");
	set("/sys/devices/cxl/root0/decoder0.1/region0/commit", "1\n");
	set("/sys/devices/cxl/root0/port1/endpoint3/decoder3.0/region", "\n");
	set("/sys/devices/cxl/root0/port2/endpoint4/decoder4.0/region", "region0\n");
	set_link("/sys/devices/cxl/root0/dport12", "../../pci0/hb12");
	set_link("/sys/devices/cxl/root0/dport53", "../../pci0/hb53");
	set_link("/sys/devices/cxl/root0/port1/uport", "../../../pci0/hb12");
	set_link("/sys/devices/cxl/root0/port2/uport", "../../../pci0/hb53");
	set_link("/sys/devices/cxl/root0/port1/endpoint3/uport", "../../../../pci0/hb12/mem1");
	set_link("/sys/devices/cxl/root0/port2/endpoint4/uport", "../../../../pci0/hb53/mem0");
	set_link("/sys/bus/cxl/devices/root0", "../../../devices/cxl/root0");
	set_link("/sys/bus/cxl/devices/port1", "../../../devices/cxl/root0/port1");
	set_link("/sys/bus/cxl/devices/port2", "../../../devices/cxl/root0/port2");
	set_link("/sys/bus/cxl/devices/endpoint3", "../../../devices/cxl/root0/port1/endpoint3");
	set_link("/sys/bus/cxl/devices/endpoint4", "../../../devices/cxl/root0/port2/endpoint4");
	for (i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		snprintf(link, sizeof(link), "/sys/bus/cxl/devices%s", strrchr(dirs[i], '/'));
		snprintf(target, sizeof(target), "../../..%s", dirs[i] + 4);
		set_link(link, target);
	}
}

static void set_age(const char *path, int seconds)
{
	struct utimbuf t = { .actime = time(NULL) - seconds, .modtime = time(NULL) - seconds };

	utime(scratch("m%s", path), &t);
}

/* A machine on which all is well: the module, two tiers, the daemon, CXL memory online. */
static void healthy(void)
{
	drop("m");
	set("/proc/sys/kernel/osrelease", RELEASE "\n");
	set("/proc/meminfo", "SwapTotal: 0 kB\nSwapFree: 0 kB\n");
	set("/proc/77/comm", "kvoffd\n");
	set("/dev/kvoff/control", "\n");
	set("/dev/kvoff/default", "\n");
	set("/sys/class/kvoff/control/abi_version", "%d\n", KVOFF_ABI_VERSION);
	set("/sys/class/kvoff/control/policy_pid", "77\n");
	set("/sys/class/kvoff/tuning/sample_interval_ms", "5000\n");
	counter("moves", 1000);
	tier("fast", 0, 0, 0);
	tier("cxl0", 1, 2, 1);
	node(0, 8 << 20, 4 << 20);
	node(2, 2 << 20, 1 << 20);
	block(2, 32, "online", "Normal");
	block(2, 33, "online", "Normal");
	set("/sys/bus/dax/devices/dax0.0/target_node", "2\n");
	set("/sys/bus/dax/devices/dax0.0/size", "2147483648\n");
	set("/sys/bus/dax/drivers/kmem/new_id", "\n");
	set("/sys/bus/dax/drivers/device_dax/new_id", "\n");
	set_link("/sys/bus/dax/devices/dax0.0/driver", "../../drivers/kmem");
	set("/run/kvoff/kvoffd.json",
	    "{\"pid\": 77, \"policy\": \"heat\", \"tiers\": [{\"name\": \"cxl0\", \"latency_source\": \"region\"}]}");
	/* it is fresh, however long the machine takes to look */
	set_age("/run/kvoff/kvoffd.json", -6000);
}

static struct json_value *doctor(void)
{
	run("KVOFF_SYSROOT=%s $BIN/kvoffctl doctor --json", scratch("m"));
	return json_parse(run_output, strlen(run_output));
}

/* The doctor finds @id, with @text in its text and @command in its command, and nothing else but @also. */
static void finds(const char *id, const char *severity, const char *text, const char *command, const char *also)
{
	struct json_value *v = doctor();
	const struct json_value *f = json_member(v, "findings"), *hit = NULL;
	bool ok = v && f, note = !strcmp(severity, "note") && !also;

	for (f = f ? f->child : NULL; f; f = f->next) {
		const char *name = json_member_string(f, "id", "");

		if (!strcmp(name, id) && !hit) {
			hit = f;
		} else if (!also || !strstr(also, name)) {
			ktap_note("also found: %s: %s", name, json_member_string(f, "text", ""));
			ok = false;
		}
	}
	ok = ok && hit && !strcmp(json_member_string(hit, "severity", ""), severity) &&
	     strstr(json_member_string(hit, "text", ""), text) &&
	     strstr(json_member_string(hit, "command", ""), command) && run_status == !note;
	if (!ok)
		ktap_note("status %d, %s", run_status, run_output);
	ktap_result(ok, "%s: %s", id, text);
	json_free(v);
}

static void test_healthy(void)
{
	struct json_value *v;

	healthy();
	v = doctor();
	ktap_result(!run_status && v && json_member(v, "findings") && !json_member(v, "findings")->child,
		    "a healthy machine: nothing found, exit status 0");
	json_free(v);
	run("KVOFF_SYSROOT=%s $BIN/kvoffctl doctor", scratch("m"));
	ktap_result(!run_status && output_has("nothing found: kvoff is at work"),
		    "a healthy machine: says so to people");
}

static void test_module(void)
{
	static const char vermagic[] = "ELF...license=GPL vermagic=6.11.0-old SMP preempt";

	healthy();
	drop("m/sys/class/kvoff");
	finds("module-missing", "error", "/lib/modules/" RELEASE, "make install-kmod", "cxl-absent");

	set("/lib/modules/6.11.0-old/updates/kvoff.ko.xz", "\n");
	set("/lib/modules/6.10.0-older/extra/kvoff.ko", "\n");
	finds("module-other-kernel", "error", "6.10.0-older, 6.11.0-old", "make install-kmod KERNELS=" RELEASE,
	      "cxl-absent");

	set("/lib/modules/" RELEASE "/updates/kvoff.ko", "%s", vermagic);
	finds("module-other-kernel", "error", "was built for 6.11.0-old", "make install-kmod KERNELS=" RELEASE,
	      "cxl-absent");

	set("/lib/modules/" RELEASE "/updates/kvoff.ko", "vermagic=" RELEASE " SMP");
	finds("module-not-loaded", "error", "not loaded", "modprobe kvoff", "cxl-absent");

	healthy();
	set("/sys/class/kvoff/control/abi_version", "0\n");
	finds("module-older", "warning", "version 0", "modprobe", NULL);
	healthy();
	drop("m/dev/kvoff/default");
	finds("device-missing", "error", "/dev/kvoff/default", "udevadm", NULL);
	drop("m/dev/kvoff");
	finds("device-missing", "error", "/dev/kvoff/control", "udevadm", NULL);
}

static void test_cxl(void)
{
	healthy();
	cxl();
	finds("cxl-no-region", "warning", "mem1 (1G)", "cxl create-region -t ram -d decoder0.0 -m mem1", NULL);
	set("/sys/devices/cxl/root0/decoder0.0/target_list", "99\n");
	finds("cxl-no-window", "warning", "mem1 (1G)", "cxl list -m mem1", NULL);
	set("/sys/devices/cxl/root0/port1/endpoint3/decoder3.0/region", "region1\n");
	set("/sys/devices/cxl/root0/decoder0.1/region0/commit", "0\n");
	finds("cxl-region-disabled", "warning", "region0", "cxl enable-region region0", NULL);
	set("/sys/devices/cxl/root0/decoder0.1/region0/commit", "1\n");
	drop("m/sys/devices/cxl/root0/port1/endpoint3");
	drop("m/sys/bus/cxl/devices/endpoint3");
	finds("cxl-port-missing", "warning", "mem1 (1G)", "modprobe", NULL);

	healthy();
	set("/sys/bus/pci/devices/0000:0d:00.0/class", "0x050210\n");
	finds("cxl-driver-missing", "warning", "1 CXL memory device", "cxl_pci", NULL);
	healthy();
	drop("m/sys/class/kvoff/tiers/cxl0");
	drop("m/sys/bus/dax");
	finds("cxl-absent", "note", "no CXL memory device", "", "one-tier");
}

static void test_memory(void)
{
	healthy();
	block(2, 33, "offline", "Normal Movable");
	finds("memory-offline", "warning", "1 of 2", "daxctl online-memory --no-movable dax0.0", NULL);
	block(2, 32, "offline", "Normal Movable");
	finds("memory-offline", "error", "all memory of dax0.0", "daxctl online-memory --no-movable dax0.0", NULL);
	block(2, 32, "online", "Movable");
	block(2, 33, "online", "Movable");
	finds("memory-movable", "error", "2 of 2",
	      "daxctl offline-memory dax0.0 && daxctl online-memory --no-movable dax0.0", NULL);
	healthy();
	set_link("/sys/bus/dax/devices/dax0.0/driver", "../../drivers/device_dax");
	finds("dax-not-memory", "warning", "device_dax",
	      "daxctl reconfigure-device --mode=system-ram --no-movable dax0.0", NULL);
	drop("m/sys/bus/dax/devices/dax0.0/driver");
	finds("dax-no-driver", "warning", "dax0.0", "modprobe kmem", NULL);
	healthy();
	drop("m/sys/class/kvoff/tiers/cxl0");
	finds("node-without-tier", "warning", "node 2 (dax0.0, 1G free)",
	      "kvoffctl tier add cxl2 --node 2 --rank 1 --capacity 972M", "one-tier cxl-absent");
}

static void test_tiers(void)
{
	healthy();
	drop("m/sys/class/kvoff/tiers");
	finds("no-tiers", "error", "no tiers", "systemctl start kvoffd", "node-without-tier cxl-absent");
	healthy();
	drop("m/sys/class/kvoff/tiers/cxl0");
	finds("one-tier", "warning", "tier fast is the only one", "", "node-without-tier cxl-absent");
	healthy();
	drop("m/sys/devices/system/node/node2");
	finds("tier-node-gone", "error", "node 2", "", NULL);
	healthy();
	node(2, 512 << 10, 100 << 10);
	finds("tier-too-large", "warning", "capacity 1G is more than node 2 has (512M)",
	      "kvoffctl tier set cxl0 --capacity 460M", NULL);
	healthy();
	set("/sys/class/kvoff/tiers/cxl0/state", "short\n");
	set("/sys/class/kvoff/tiers/cxl0/pools/64kB/filled_bytes", "536870912\n");
	finds("tier-short", "warning", "gave 512M of 1G", "kvoffctl tier set cxl0 --capacity 512M", NULL);
	healthy();
	set("/sys/class/kvoff/tiers/cxl0/capacity_bytes", "0\n");
	finds("tier-empty", "warning", "tier cxl0", "kvoffctl tier set cxl0", NULL);
	healthy();
	set("/proc/meminfo", "SwapTotal: 1048576 kB\nSwapFree: 0 kB\n");
	set("/sys/class/kvoff/tiers/fast/pools/64kB/filled_bytes", "6442450944\n");
	node(0, 8 << 20, 64 << 10);
	finds("tier-crowds-node", "warning", "1G of other programs", "kvoffctl tier set fast --capacity 4608M", NULL);
}

static void test_moves(void)
{
	healthy();
	set("/proc/4711/comm", "qemu\n");
	set("/proc/4711/maps", "7f00-7f01 rw-s 00000000 00:0f 1 anon_inode:[kvoff-region]\n");
	set_link("/proc/4711/fd/7", "anon_inode:[io_uring]");
	set("/proc/4712/comm", "reader\n");
	set("/proc/4712/maps", "7f00-7f01 rw-s 00000000 00:0f 1 anon_inode:[kvoff-region]\n");
	set("/proc/4712/fd/0", "\n");
	set("/sys/class/kvoff/tiers/cxl0/orphan_bytes", "65536\n");
	finds("tier-orphans", "warning",
	      "64K is still pinned by something after its block went; it comes back when the pin goes. Processes that could hold it: 4711 (qemu)",
	      "", NULL);
	set("/sys/class/kvoff/tiers/cxl0/orphan_bytes", "0\n");
	set("/sys/class/kvoff/tiers/cxl0/poisoned_bytes", "65536\n");
	finds("tier-poisoned", "note", "64K is out of use for memory errors", "", NULL);
	set("/sys/class/kvoff/tiers/cxl0/poisoned_bytes", "67108864\n");
	finds("tier-poisoned", "warning", "64M is out of use for memory errors", "", NULL);
	set("/sys/class/kvoff/tiers/cxl0/poisoned_bytes", "0\n");
	counter("move_busy", 150);
	finds("moves-pinned", "warning", "150 of 1150 moves", "", NULL);
	counter("move_busy", 99);
	counter("move_acquired", 1000);
	finds("moves-acquired", "warning", "1000 of 2099", "", NULL);
	counter("move_acquired", 0);
	counter("move_no_frame", 500);
	finds("moves-no-frame", "warning", "500 of 1599", "reserve_percent", NULL);
	healthy();
	counter("commit_broken", 1);
	finds("commit-broken", "error", "1 faults", "", NULL);
	healthy();
	counter("commit_refused", 3);
	finds("commit-refused", "note", "3 commits", "kvoffctl tiers", NULL);
	healthy();
	set("/sys/class/kvoff/tuning/sample_interval_ms", "0\n");
	finds("sampling-off", "note", "sampling is off", "sample_interval_ms", NULL);
}

static void test_daemon(void)
{
	healthy();
	set("/sys/class/kvoff/control/policy_pid", "0\n");
	finds("daemon-no-lease", "warning", "process 77", "systemctl restart kvoffd", NULL);
	set("/proc/77/comm", "bash\n");
	finds("daemon-not-running", "warning", "not running", "systemctl start kvoffd", NULL);
	set("/sys/class/kvoff/control/policy_pid", "77\n");
	finds("lease-stranger", "warning", "process 77 (bash)", "ps -fp 77", NULL);
	set("/sys/class/kvoff/control/policy_pid", "78\n");
	finds("lease-stranger", "warning", "process 78, which is not to be seen", "", NULL);
	healthy();
	set_age("/run/kvoff/kvoffd.json", 6000);
	finds("daemon-stuck", "warning", "has not reported for 6", "systemctl restart kvoffd", NULL);
	set("/run/kvoff/kvoffd.json", "{\"pid\": 76, \"policy\": \"static\"}");
	set_age("/run/kvoff/kvoffd.json", 6000);
	run("KVOFF_SYSROOT=%s $BIN/kvoffctl doctor", scratch("m"));
	ktap_result(!run_status && output_has("kvoff is at work"), "what an earlier kvoffd left says nothing of this one");
	set("/run/kvoff/kvoffd.json", "{\"policy\": \"static\"}");
	set_age("/run/kvoff/kvoffd.json", -6000);
	finds("policy-static", "note", "static", "", NULL);
	set("/run/kvoff/kvoffd.json", "{\"policy\": 5, \"tiers\": [1, {\"name\": []}, {}");
	run("KVOFF_SYSROOT=%s $BIN/kvoffctl doctor", scratch("m"));
	ktap_result(!run_status, "a damaged report of the daemon does no harm");
}

static void test_show(void)
{
	struct json_value *v;
	const struct json_value *t;

	healthy();
	run("KVOFF_SYSROOT=%s $BIN/kvoffctl tiers", scratch("m"));
	ktap_result(
		!run_status &&
			output_has(
				"cxl0            1    2 ready          1G       1G     256M     768M        0        0    100ns  40.0GB/s  region"),
		"tiers: a table");
	run("KVOFF_SYSROOT=%s $BIN/kvoffctl --json status", scratch("m"));
	v = json_parse(run_output, strlen(run_output));
	t = json_member(v, "tiers");
	ktap_result(!run_status && v && t && !strcmp(json_member_string(t->child, "name", ""), "fast") &&
			    json_member_number(t->child->next, "used_bytes", 0) == 1 << 28 &&
			    json_member_number(json_member(v, "counters"), "moves", 0) == 1000 &&
			    !strcmp(json_member_string(json_member(v, "daemon"), "policy", ""), "heat"),
		    "status --json: all of it");
	json_free(v);
	run("KVOFF_SYSROOT=%s $BIN/kvoffctl status", scratch("m"));
	ktap_result(!run_status && output_has("kvoffd, process 77, policy heat") &&
			    output_has("1000, 0; refused: 0 pinned"),
		    "status: for people");
	run("KVOFF_SYSROOT=%s $BIN/kvoffctl watch -n 0.1 -c 2 --json | tail -n 1", scratch("m"));
	v = json_parse(run_output, strlen(run_output));
	ktap_result(!run_status && json_member_number(json_member(v, "counters"), "moves", -1) == 0 &&
			    json_member_number(json_member(v, "used_bytes"), "fast", 0) == 1 << 28,
		    "watch --json: a line of JSON each time");
	json_free(v);
	run("KVOFF_SYSROOT=%s $BIN/kvoffctl regions", scratch("nowhere"));
	ktap_result(run_status == 1 && output_has("the module is not loaded"), "regions without the module: says so");
	run("KVOFF_SYSROOT=%s $BIN/kvoffctl status", scratch("nowhere"));
	ktap_result(run_status == 1 && output_has("the module is not loaded"), "status without the module: says so");
}

static void tenant(const char *name, const char *class, unsigned long long quota, unsigned long long committed)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/class/kvoff/%s/class", name);
	set(path, "%s\n", class);
	snprintf(path, sizeof(path), "/sys/class/kvoff/%s/quota_bytes", name);
	set(path, "%llu\n", quota);
	snprintf(path, sizeof(path), "/sys/class/kvoff/%s/committed_bytes", name);
	set(path, "%llu\n", committed);
	snprintf(path, sizeof(path), "/sys/class/kvoff/%s/used_bytes", name);
	set(path, "%llu\n", committed / 2);
	snprintf(path, sizeof(path), "/sys/class/kvoff/%s/tiers/fast/quota_bytes", name);
	set(path, "%llu\n", quota / 4);
	snprintf(path, sizeof(path), "/sys/class/kvoff/%s/tiers/fast/used_bytes", name);
	set(path, "%llu\n", committed / 2);
}

static void test_tenants(void)
{
	const struct json_value *t;
	struct json_value *v;

	healthy();
	run("KVOFF_SYSROOT=%s $BIN/kvoffctl tenants", scratch("m"));
	ktap_result(!run_status && output_has("no tenants"), "tenants: none");
	tenant("default", "normal", 0, 0);
	tenant("search", "latency", 8ULL << 30, 2ULL << 30);
	run("KVOFF_SYSROOT=%s $BIN/kvoffctl tenants", scratch("m"));
	ktap_result(!run_status && output_has("search           latency        8G        2G       1G           1G/2G") &&
			    output_has("default          normal          -"),
		    "tenants: a line each, a dash for no limit");
	run("KVOFF_SYSROOT=%s $BIN/kvoffctl tenants --json", scratch("m"));
	v = json_parse(run_output, strlen(run_output));
	t = json_member(v, "tenants");
	t = t && t->child ? t->child->next : NULL;
	ktap_result(!run_status && t && !strcmp(json_member_string(t, "name", ""), "search") &&
			    json_member_number(t, "quota_bytes", 0) == 8ULL << 30 &&
			    json_member_number(json_member(t, "tiers")->child, "quota_bytes", 0) == 2ULL << 30,
		    "tenants --json: all of it");
	json_free(v);
	run("KVOFF_SYSROOT=%s $BIN/kvoffctl tenants", scratch("nowhere"));
	ktap_result(run_status == 1 && output_has("the module is not loaded"), "tenants without the module: says so");
}

static void test_usage(void)
{
	static const char *const bad[] = {
		"",
		"nonsense",
		"status now",
		"tiers x",
		"regions x",
		"doctor x",
		"watch -n 0",
		"watch -n x",
		"watch -c 0",
		"watch -c x",
		"watch x",
		"tier",
		"tier x",
		"tier add",
		"tier add a --node 1",
		"tier add a --capacity 2M",
		"tier add a --node x --capacity 2M",
		"tier add a --node 1 --capacity 3M",
		"tier add a --node 1 --capacity x",
		"tier add a b --node 1 --capacity 2M",
		"tier add 12345678901234567890123456789012 --node 1 --capacity 2M",
		"tier set a",
		"tier set a --node 1",
		"tier set a --latency 1",
		"tier remove",
		"tier remove a --rank 1",
		"pool",
		"pool a",
		"pool a --block 64K",
		"pool a --block 96K --bytes 1M",
		"pool a --block 4M --bytes 8M",
		"pool a --block 2M --bytes 3M",
		"tenants x",
		"tenant",
		"tenant x",
		"tenant add",
		"tenant add a b",
		"tenant add ''",
		"tenant add 12345678901234567890123456789012",
		"tenant add a --owner no-such-user",
		"tenant add a --owner 4294967295",
		"tenant add a --group no-such-group",
		"tenant add a --mode 0770",
		"tenant add a --mode 0",
		"tenant add a --mode rw",
		"tenant add a --mode 00660",
		"tenant add a --mode ''",
		"tenant add a --class fast",
		"tenant add a --quota much",
		"tenant add a --quota -1",
		"tenant add a --tier fast",
		"tenant add a --tier =1G",
		"tenant add a --tier fast=",
		"tenant add a --tier fast=x",
		"tenant add a --nonsense",
		"tenant set a",
		"tenant set --quota 1G",
		"tenant remove",
		"tenant remove a --quota 1G",
		"--nonsense",
	};
	size_t i, n = sizeof(bad) / sizeof(bad[0]), right = 0;

	for (i = 0; i < n; i++) {
		run("KVOFF_SYSROOT=%s $BIN/kvoffctl %s", scratch("m"), bad[i]);
		if (run_status == 2 && *run_output)
			right++;
		else
			ktap_note("'%s': status %d, %s", bad[i], run_status, run_output);
	}
	ktap_result(right == n, "wrong usage: a message and exit status 2");
	run("$BIN/kvoffctl --help && $BIN/kvoffctl --version");
	ktap_result(!run_status && output_has("usage: kvoffctl") && output_has("kvoffctl 0."), "help and version");
	healthy();
	run("KVOFF_SYSROOT=%s $BIN/kvoffctl tier add x --node 1 --capacity 2M", scratch("m"));
	ktap_result(run_status == 1 && output_has("kvoff: tier x: "), "a control device that is none: says so");
	run("KVOFF_SYSROOT=%s $BIN/kvoffctl tenant add a --quota 1G --tier fast=none", scratch("m"));
	ktap_result(run_status == 1 && output_has("kvoff: tenant a: the module that is loaded knows no tenants"),
		    "tenant add with a module that has no such call");
	run("KVOFF_SYSROOT=%s $BIN/kvoffctl tenant add a --tier slow=1G", scratch("m"));
	ktap_result(run_status == 1 && output_has("tier slow: there is no such tier"), "a quota in a tier that is not there");
}

int main(void)
{
	ktap_begin(60);
	test_healthy();
	test_module();
	test_cxl();
	test_memory();
	test_tiers();
	test_moves();
	test_daemon();
	test_show();
	test_tenants();
	test_usage();
	return ktap_end();
}
