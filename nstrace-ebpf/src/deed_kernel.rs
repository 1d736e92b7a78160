//! What extends or replaces the kernel, and what the kernel itself runs in user space.

use nstrace_common::{deed::what, record::hook};

use crate::{
    deed::{deed_begin, deed_entry, deed_send, draft, keep, of, text},
    kernel_memory::{Kptr, load_ptr, load_u32},
    place::deeds,
};

deed_entry!(fentry_deed_init_module kprobe_deed_init_module "do_init_module" of::INIT_MODULE, [0] deed_init_module);
deed_entry!(fentry_deed_load_data kprobe_deed_load_data "security_kernel_load_data" of::LOAD_DATA, [0] deed_load_data);
deed_entry!(fentry_deed_read_file kprobe_deed_read_file "security_kernel_read_file" of::READ_FILE, [0] deed_read_file);
deed_entry!(fentry_deed_bpf_prog kprobe_deed_bpf_prog "security_bpf_prog" of::BPF_PROG, [0] deed_bpf_prog);

/// `do_init_module(mod)`.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn deed_init_module() -> u32 {
    let Some(draft) = draft(of::INIT_MODULE) else { return 0 };
    if deed_begin(of::INIT_MODULE, what::MODULE, 0) == 0 {
        return 0;
    }
    text(&mut draft.deed.name, (draft.args[0] as Kptr).wrapping_add(deeds!(module_name) as usize));
    deed_send(of::INIT_MODULE, u32::from(hook::KERNEL_LOAD))
}

/// `security_kernel_load_data(id, contents)`: of init_module(2) and kexec_load(2).
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn deed_load_data() -> u32 {
    kexec(of::LOAD_DATA)
}

/// `security_kernel_read_file(file, id, contents)`: of finit_module(2) and kexec_file_load(2).
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn deed_read_file() -> u32 {
    kexec(of::READ_FILE)
}

/// Numbers of kexec_load(2) and kexec_file_load(2): those of what is loaded differ among kernels.
const KEXEC_LOAD: i32 = 246;
const KEXEC_FILE_LOAD: i32 = 320;

#[inline(always)]
fn kexec(of: u32) -> u32 {
    let Some(draft) = draft(of) else { return 0 };
    if deed_begin(of, what::KEXEC, 0) == 0 {
        return 0;
    }
    let nr = draft.deed.call.nr;
    if nr != KEXEC_LOAD && nr != KEXEC_FILE_LOAD {
        return 0;
    }
    deed_send(of, u32::from(hook::KERNEL_LOAD))
}

/// `security_bpf_prog(prog)`: a program gets a descriptor, after it was loaded or because it was asked for.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn deed_bpf_prog() -> u32 {
    let Some(draft) = draft(of::BPF_PROG) else { return 0 };
    if deed_begin(of::BPF_PROG, what::BPF, 0) == 0 {
        return 0;
    }
    let prog = draft.args[0] as Kptr;
    draft.deed.flags = load_u32(prog, deeds!(bpf_prog_type));
    let name = load_ptr(prog, deeds!(bpf_prog_aux)).wrapping_add(deeds!(bpf_prog_aux_name) as usize);
    text(&mut draft.deed.name, name);
    deed_send(of::BPF_PROG, u32::from(hook::KERNEL_LOAD))
}

/// `call_usermodehelper_exec(sub_info, wait)`, in whatever context, so no task is left out.
#[aya_ebpf::macros::fentry(function = "call_usermodehelper_exec")]
pub fn fentry_deed_helper(ctx: aya_ebpf::programs::FEntryContext) -> u32 {
    keep(of::HELPER, [ctx.arg::<u64>(0)]);
    deed_helper();
    0
}

#[aya_ebpf::macros::kprobe]
pub fn kprobe_deed_helper(ctx: aya_ebpf::programs::ProbeContext) -> u32 {
    keep(of::HELPER, [ctx.arg::<u64>(0).unwrap_or(0)]);
    deed_helper();
    0
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn deed_helper() -> u32 {
    let Some(draft) = draft(of::HELPER) else { return 0 };
    deed_begin(of::HELPER, what::HELPER, 0);
    text(&mut draft.deed.detail, load_ptr(draft.args[0] as Kptr, deeds!(subprocess_info_path)));
    deed_send(of::HELPER, u32::from(hook::HELPER))
}
