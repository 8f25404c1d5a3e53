/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Telling the service manager how things stand (sd_notify(3)'s protocol: a datagram to $NOTIFY_SOCKET). */
#ifndef KVOFFD_NOTIFY_H
#define KVOFFD_NOTIFY_H

/** notify - send "READY=1" and the like; does nothing where nobody listens */
void notify(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif /* KVOFFD_NOTIFY_H */
