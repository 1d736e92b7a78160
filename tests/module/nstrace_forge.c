// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * What a kernel exploit does once it can call functions or write memory: whoever writes a word to /proc/nstrace_forge is
 * given what no system call gave it. For tests in guests only.
 *
 *   creds   commit_creds(prepare_kernel_cred(&init_task)): all capabilities, the initial user namespace
 *   switch  switch_task_namespaces(current, init's nsproxy)
 *   nsproxy the same by a write to current->nsproxy
 *   caps    all capabilities by a write to the credentials
 */
#include <linux/cred.h>
#include <linux/init_task.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/nsproxy.h>
#include <linux/proc_fs.h>
#include <linux/sched/task.h>
#include <linux/string.h>
#include <linux/uaccess.h>

static void (*switch_namespaces)(struct task_struct *task, struct nsproxy *new);

/* It is not exported; a kprobe knows the addresses of all functions. */
static int find_switch(void)
{
	struct kprobe probe = { .symbol_name = "switch_task_namespaces" };
	int error = register_kprobe(&probe);

	if (error)
		return error;
	switch_namespaces = (void *)probe.addr;
	unregister_kprobe(&probe);
	return 0;
}

static struct nsproxy *initial_namespaces(void)
{
	struct nsproxy *initial = init_task.nsproxy;

	get_nsproxy(initial);
	return initial;
}

static int forge(const char *how)
{
	if (!strcmp(how, "creds")) {
		struct cred *new = prepare_kernel_cred(&init_task);

		return new ? commit_creds(new) : -ENOMEM;
	}
	if (!strcmp(how, "switch")) {
		switch_namespaces(current, initial_namespaces());
		return 0;
	}
	if (!strcmp(how, "nsproxy")) {
		/* Nobody counts the old one down, as in an exploit. */
		task_lock(current);
		current->nsproxy = initial_namespaces();
		task_unlock(current);
		return 0;
	}
	if (!strcmp(how, "caps")) {
		((struct cred *)current->real_cred)->cap_effective = init_task.real_cred->cap_effective;
		return 0;
	}
	return -EINVAL;
}

static ssize_t written(struct file *file, const char __user *from, size_t size, loff_t *at)
{
	char how[16] = {};
	int error;

	if (size >= sizeof(how) || copy_from_user(how, from, size))
		return -EINVAL;
	error = forge(strim(how));
	return error ? error : (ssize_t)size;
}

static const struct proc_ops operations = { .proc_write = written };

static int __init begin(void)
{
	int error = find_switch();

	if (error)
		return error;
	return proc_create("nstrace_forge", 0222, NULL, &operations) ? 0 : -ENOMEM;
}

static void __exit end(void)
{
	remove_proc_entry("nstrace_forge", NULL);
}

module_init(begin);
module_exit(end);
MODULE_DESCRIPTION("forges namespaces and credentials, for tests of nstrace");
MODULE_LICENSE("Dual MIT/GPL");
