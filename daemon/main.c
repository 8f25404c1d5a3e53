// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kvoffd: the policy daemon. It finds the tiers, watches the blocks, and says which ones move; the kernel moves them.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "attr.h"
#include "kvoffd.h"
#include "log.h"
#include "notify.h"

#define REPORT_MS	1000
#define STOP_MS		2000

static const char usage[] =
"usage: kvoffd [--config FILE]\n"
"       kvoffd --discover [--json] [--config FILE]\n"
"       kvoffd --check-config [FILE]\n"
"\n"
"  -c, --config FILE     configuration, " CONF_DEFAULT_FILE " unless given\n"
"  -d, --discover        print the memory of this machine as kvoffd sees it, and exit\n"
"  -j, --json            ... as JSON\n"
"  -C, --check-config    say what is wrong with a configuration, and exit\n"
"  -f, --foreground      accepted and without effect: kvoffd always stays in the foreground\n"
"  -V, --version\n"
"  -h, --help\n"
"\n"
"Signals: TERM and INT end it (tiers and blocks stay as they are), HUP reads the configuration again, USR1 writes\n"
"the status file. kvoffd(8) and kvoffd.conf(5) tell more.\n";

static bool load(struct conf *conf, const char *path, bool given)
{
	static struct conf_report report;

	memset(&report, 0, sizeof(report));
	if (!conf_load(conf, path, !given, &report))
		return true;
	fputs(report.text, stderr);
	fprintf(stderr, "%s: %u error%s\n", path, report.nr, report.nr == 1 ? "" : "s");
	return false;
}

static const char *open_hint(int err)
{
	if (err == ENOENT)
		return "the kernel module is not there: modprobe kvoff";
	if (err == EACCES || err == EPERM)
		return "kvoffd needs CAP_SYS_ADMIN";
	return "the control device cannot be opened";
}

static int open_control(struct kvoffd *d)
{
	struct kvoff_ctl_lease lease = { .size = sizeof(lease) };
	uint64_t pid = 0;

	d->control = open(CONTROL_PATH, O_RDWR | O_CLOEXEC);
	if (d->control < 0) {
		log_error(open_hint(errno), "device=%s error=\"%s\"", CONTROL_PATH, strerror(errno));
		return -1;
	}
	if (!ioctl(d->control, KVOFF_CTL_LEASE, &lease))
		return 0;
	if (errno == EBUSY) {
		attr_number(&pid, TIER_SYSFS "/control/policy_pid");
		log_error("another policy daemon is at work: stop it first", "holder_pid=%llu",
			  (unsigned long long)pid);
	} else {
		log_error("the policy lease cannot be had", "error=\"%s\"", strerror(errno));
	}
	return -1;
}

static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -1;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Each region takes a descriptor, and clients make as many as they like. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static int resize_moves(struct kvoffd *d)
{
	struct decide_move *grown = realloc(d->moves, d->conf.max_moves * sizeof(*grown));

	if (!grown)
		return -1;
	d->moves = grown;
	return 0;
}

static unsigned int setup_tiers(struct kvoffd *d)
{
	int err = nodes_discover(&d->nodes, d->conf.probe);

	if (err)
		log_warn("the kernel has no NUMA: only tiers it already has are used", "error=\"%s\"", strerror(-err));
	return tiers_setup(&d->tiers, d->control, &d->conf, &d->nodes);
}

static void reload(struct kvoffd *d)
{
	struct conf *next = malloc(sizeof(*next)), old;

	/* in full: one that looks older than its signal is no answer to systemd, which waits on */
	notify("RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)clock_us());
	if (!next || !load(next, d->conf_path, d->conf_given)) {
		log_error("configuration not changed: the file has errors, the old one stays in force", "file=\"%s\"",
			  d->conf_path);
		goto out;
	}
	old = d->conf;
	d->conf = *next;
	if (resize_moves(d)) {
		d->conf = old;
		log_error("configuration not changed: out of memory", NULL);
		goto out;
	}
	if (old.memory_errors != d->conf.memory_errors)
		log_warn("memory_errors takes effect with the next start", "memory_errors=%s",
			 d->conf.memory_errors ? "yes" : "no");
	if (old.io_uring != d->conf.io_uring)
		log_warn("io_uring takes effect with the next start", "io_uring=%s", d->conf.io_uring ? "yes" : "no");
	if (strcmp(old.status_file, d->conf.status_file))
		report_remove(&old);
	log_set_level((enum log_level)d->conf.log_level);
	setup_tiers(d);
	/* the old interval may be long */
	tick_after(d, 1);
	log_info("configuration read", "file=\"%s\" policy=%s", d->conf_path,
		 decide_policy_name((enum decide_policy)d->conf.policy));
out:
	free(next);
	notify("READY=1");
}

static void take_signals(struct kvoffd *d)
{
	struct signalfd_siginfo info;

	while (read(d->signals, &info, sizeof(info)) == sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGHUP:
			reload(d);
			break;
		case SIGUSR1:
			report_write(d);
			break;
		default:
			log_info("stopping", "signal=%s", strsignal((int)info.ssi_signo));
			d->stopping = true;
		}
	}
}

/* One turn of the loop. Returns a negative errno when waiting itself fails. */
static int turn(struct kvoffd *d, int timeout_ms)
{
	uint32_t rank[KVOFF_MAX_TIERS];
	struct loop_events events;
	uint64_t expired;
	int err = loop_wait(d->loop, &events, timeout_ms);

	if (err)
		return err;
	tick_ranks(d, rank);
	for (unsigned int i = 0; i < events.nr_done; i++)
		act_done(&d->act, &d->regions, events.done[i].batch, events.done[i].res, heat_now(), rank);
	if (events.ready[LOOP_SIGNAL])
		take_signals(d);
	if (events.ready[LOOP_POISON])
		poison_take(&d->poison);
	if (events.ready[LOOP_CONTROL]) {
		/* stays ready until the regions are listed, which is the next tick's first work */
		d->sync = true;
		loop_watch(d->loop, LOOP_CONTROL, false);
		if (!d->regions.nr)
			tick_after(d, 1);
	}
	if (events.ready[LOOP_TIMER] && read(d->timer, &expired, sizeof(expired)) == sizeof(expired) && !d->stopping)
		tick(d);
	if (!d->stopping)
		act_step(&d->act, &d->regions, heat_now(), rank,
			 (const uint32_t (*)[KVOFF_MAX_TIERS])d->tiers.budget_mbps);
	return 0;
}

/* Ask the devices from time to time: not all say by themselves that they have found something. */
static void look_for_poison(struct kvoffd *d)
{
	struct poison *p = &d->poison;
	uint64_t now = clock_ms();

	if (d->conf.poison_scan_s && (!p->scanned || now - p->scanned >= d->conf.poison_scan_s * 1000)) {
		p->scanned = now;
		poison_scan(p);
	}
	poison_take(p);
}

static int run(struct kvoffd *d)
{
	bool watchdog = getenv("WATCHDOG_USEC");
	int err = 0;

	tick(d);
	while (!d->stopping && !err) {
		uint64_t since = clock_ms() - d->reported;

		/* ticks may be a minute apart and more, the report and the watchdog may not */
		err = turn(d, d->act.nr_order || since >= REPORT_MS ? 0 : (int)(REPORT_MS - since));
		if (clock_ms() - d->reported >= REPORT_MS) {
			d->reported = clock_ms();
			look_for_poison(d);
			report_write(d);
			if (watchdog)
				notify("WATCHDOG=1");
		}
	}
	return err;
}

/* Moves under way end after the block they are at; with a device that hangs, waiting has an end too. */
static void stop(struct kvoffd *d)
{
	uint64_t until = clock_ms() + STOP_MS;

	notify("STOPPING=1");
	if (!d->act.send)
		return;
	for (unsigned int i = 0; i < ACT_BATCHES; i++)
		if (d->act.batches[i].busy)
			loop_cancel(d->loop, i);
	while (act_busy(&d->act) && clock_ms() < until)
		if (turn(d, 100))
			break;
}

static int serve(struct kvoffd *d)
{
	struct timespec ts;
	int ret = 1, err, fds[LOOP_NR_SOURCES];

	clock_gettime(CLOCK_REALTIME, &ts);
	d->started = ts.tv_sec;
	d->sync = true;
	d->control = d->signals = d->timer = d->poison.pipe = -1;
	log_set_level((enum log_level)d->conf.log_level);
	raise_file_limit();
	d->signals = open_signals();
	d->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	d->work = decide_work_new();
	if (d->signals < 0 || d->timer < 0 || !d->work || resize_moves(d)) {
		log_error("cannot start", "error=\"%s\"", strerror(errno));
		goto out;
	}
	if (open_control(d))
		goto out;
	if (!setup_tiers(d)) {
		log_error("there is no tier: nothing can be committed and nothing moved; see the messages above", NULL);
		goto out;
	}
	fds[LOOP_SIGNAL] = d->signals;
	fds[LOOP_TIMER] = d->timer;
	fds[LOOP_CONTROL] = d->control;
	if (d->conf.memory_errors)
		poison_open(&d->poison, d->control);
	fds[LOOP_POISON] = d->poison.pipe;
	d->loop = loop_new(fds, d->conf.io_uring);
	if (!d->loop)
		goto out;
	d->act.control = d->control;
	d->act.send = loop_has_uring(d->loop) ? loop_send : NULL;
	d->act.ctx = d->loop;
	log_info("ready", "version=%s pid=%d policy=%s tiers=%u moves_by=%s", KVOFF_VERSION, getpid(),
		 decide_policy_name((enum decide_policy)d->conf.policy), d->tiers.nr,
		 d->act.send ? "io_uring" : "ioctl");
	notify("READY=1\nSTATUS=%u tiers, policy %s", d->tiers.nr,
	       decide_policy_name((enum decide_policy)d->conf.policy));
	err = run(d);
	if (err)
		log_error("the event loop failed", "error=\"%s\"", strerror(-err));
	stop(d);
	report_remove(&d->conf);
	ret = err != 0;
	log_info("stopped", "promoted=%llu demoted=%llu", (unsigned long long)d->act.counters.promoted,
		 (unsigned long long)d->act.counters.demoted);
out:
	loop_free(d->loop);
	poison_close(&d->poison);
	regions_drop(&d->regions);
	decide_work_free(d->work);
	free(d->moves);
	free(d->views);
	if (d->control >= 0)
		close(d->control);
	if (d->timer >= 0)
		close(d->timer);
	if (d->signals >= 0)
		close(d->signals);
	return ret;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "discover", no_argument, NULL, 'd' },
		{ "json", no_argument, NULL, 'j' },
		{ "check-config", no_argument, NULL, 'C' },
		{ "foreground", no_argument, NULL, 'f' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	static struct kvoffd d = { .conf_path = CONF_DEFAULT_FILE };
	bool discover = false, json = false, check = false;
	int c;

	while ((c = getopt_long(argc, argv, "c:djCfVh", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			d.conf_path = optarg;
			d.conf_given = true;
			break;
		case 'd':
			discover = true;
			break;
		case 'j':
			json = true;
			break;
		case 'C':
			check = true;
			break;
		case 'f':
			break;
		case 'V':
			puts("kvoffd " KVOFF_VERSION);
			return 0;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (check && optind + 1 == argc) {
		d.conf_path = argv[optind++];
		d.conf_given = true;
	}
	if (optind != argc || (json && !discover)) {
		fputs(usage, stderr);
		return 2;
	}
	if (!load(&d.conf, d.conf_path, d.conf_given || check))
		return 1;
	if (check) {
		printf("%s: no errors\n", d.conf_path);
		return 0;
	}
	if (discover) {
		if (nodes_discover(&d.nodes, d.conf.probe)) {
			fprintf(stderr, "kvoffd: this kernel has no NUMA\n");
			return 1;
		}
		nodes_print(&d.nodes, stdout, json);
		return 0;
	}
	return serve(&d);
}
