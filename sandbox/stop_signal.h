/*
 * The signal that asks a container to end: CRI ContainerConfig.stop_signal, else the image's StopSignal
 * ("SIGQUIT", "QUIT", "3", "SIGRTMIN+3", OCI image-spec config.md), else SIGTERM.
 */
#ifndef SANDBOX_STOP_SIGNAL_H
#define SANDBOX_STOP_SIGNAL_H

#include "proto/cri.pb-c.h"

/* SIGTERM when neither names one or the image's is malformed. */
int stop_signal_number(Cri__Signal asked, const char *image_signal);
/* -1 when text names no signal. */
int stop_signal_parse(const char *text);
/* The CRI's enum for what stop_signal_number() yields. */
Cri__Signal stop_signal_enum(int number);

#endif
