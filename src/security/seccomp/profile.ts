/** One condition on a system call's arguments; only the low 32 bits are looked at. */
export type ArgRule =
  /** Allowed when none of the bits is set. */
  | { readonly kind: 'clear'; readonly index: number; readonly bits: number }
  /** Allowed with these values only. */
  | { readonly kind: 'oneOf'; readonly index: number; readonly values: readonly number[] }
  /** Allowed with all values but these. */
  | { readonly kind: 'noneOf'; readonly index: number; readonly values: readonly number[] }

/** What the filter lets through; everything else is EPERM, calls that are newer than the tables ENOSYS. */
export interface Profile {
  readonly allowed: readonly string[]
  /** Calls allowed by argument. */
  readonly conditional: Readonly<Record<string, ArgRule>>
  /** Calls that answer as if the kernel had none, so that libc falls back to an older one. */
  readonly absent: readonly string[]
}

/**
 * What programs use, of the kernel's calls: nothing that mounts, makes namespaces, loads code into the kernel,
 * traces it, opens files by handle, or reaches keyrings, io_uring and swap, as those have no namespaces or
 * have been the way out of many a container. Names that an architecture lacks are passed over.
 */
const ALLOWED = `
_llseek _newselect accept accept4 access adjtimex alarm arch_prctl bind brk capget capset chdir
chmod chown chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime
clock_gettime64 clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range
creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2
epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2
fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchown fchown32 fchownat
fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64
fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_time64 futex_waitv futimesat
get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid getegid32 geteuid
geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid
getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getrusage
getsid getsockname getsockopt gettid gettimeofday getuid getuid32 getxattr inotify_add_watch
inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents
io_pgetevents_time64 io_setup io_submit ioctl ioprio_get ioprio_set ipc kill landlock_add_rule
landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link linkat listen
listxattr llistxattr lremovexattr lseek lsetxattr lstat lstat64 madvise membarrier memfd_create
memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 modify_ldt
mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend
mq_timedsend_time64 mq_unlink mremap msgctl msgget msgrcv msgsnd msync munlock munlockall munmap
name_to_handle_at nanosleep newfstatat nice open openat openat2 pause pidfd_open
pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl
pread64 preadv preadv2 prlimit64 process_mrelease process_vm_readv process_vm_writev pselect6
pselect6_time64 ptrace pwrite64 pwritev pwritev2 read readahead readdir readlink readlinkat
readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr rename renameat
renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo
rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo
sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity
sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop
semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list
set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32
setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid setresgid32
setresuid setresuid32 setreuid setreuid32 setrlimit setsid setsockopt setuid setuid32 setxattr
sgetmask shmat shmctl shmdt shmget shutdown sigaction sigaltstack signal signalfd signalfd4
sigpending sigprocmask sigreturn sigsuspend socketcall socketpair splice ssetmask stat stat64
statfs statfs64 statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time
timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime
timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat utime
utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev
`

/** What a capability that a service asked for would be worth nothing without. */
const BY_CAPABILITY: Readonly<Record<string, string>> = {
  CAP_BPF: 'bpf',
  CAP_DAC_READ_SEARCH: 'open_by_handle_at',
  CAP_PERFMON: 'perf_event_open',
  CAP_SYS_ADMIN:
    'bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr ' +
    'move_mount open_tree perf_event_open pivot_root quotactl quotactl_fd setdomainname sethostname setns ' +
    'syslog umount umount2 unshare',
  CAP_SYS_BOOT: 'reboot',
  CAP_SYS_CHROOT: 'chroot',
  CAP_SYS_MODULE: 'delete_module finit_module init_module',
  CAP_SYS_NICE: 'get_mempolicy mbind set_mempolicy set_mempolicy_home_node',
  CAP_SYS_PACCT: 'acct',
  CAP_SYS_PTRACE: 'kcmp pidfd_getfd process_madvise',
  CAP_SYS_RAWIO: 'ioperm iopl',
  CAP_SYS_TIME: 'clock_settime clock_settime64 settimeofday stime',
  CAP_SYS_TTY_CONFIG: 'vhangup',
  CAP_SYSLOG: 'syslog',
}

/** CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}, linux/sched.h; CLONE_NEWTIME shares its bit with the exit signal. */
const CLONE_NAMESPACES = 0x7e020000
/** PER_LINUX, PER_LINUX32, UNAME26, both, and the query. */
const PERSONALITIES = [0, 0x8, 0x20000, 0x20008, 0xffffffff]
/** AF_ALG and AF_VSOCK: kernel crypto and the hypervisor's door have no namespace. */
const FAMILIES_REFUSED = [38, 40]

/** pak's default profile for a container with these capabilities (`CAP_` names). Pure. */
export function defaultProfile(capabilities: readonly string[]): Profile {
  const extra = capabilities.flatMap((name) => (BY_CAPABILITY[name] ?? '').split(' '))
  const allowed = [...new Set([...ALLOWED.trim().split(/\s+/), ...extra])].filter(Boolean).sort()
  const mayUnshare = capabilities.includes('CAP_SYS_ADMIN')
  return {
    allowed,
    conditional: {
      ...(mayUnshare ? {} : { clone: { kind: 'clear', index: 0, bits: CLONE_NAMESPACES } }),
      personality: { kind: 'oneOf', index: 0, values: PERSONALITIES },
      socket: { kind: 'noneOf', index: 0, values: FAMILIES_REFUSED },
    },
    // Its flags are in memory, where no filter sees them.
    absent: mayUnshare ? [] : ['clone3'],
  }
}
