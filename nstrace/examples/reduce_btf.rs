//! Makes a fixture for `tests/kernel_plan.rs` from a kernel's BTF: `reduce_btf /sys/kernel/btf/vmlinux tests/btf/6.18.btf`.

use std::{collections::BTreeSet, env, fs};

use nstrace::kernel::{
    btf::Btf,
    btf_reduce::reduce,
    facts::{Attach, FACTS},
    layout::members,
};

fn main() -> anyhow::Result<()> {
    let mut arguments = env::args().skip(1);
    let (Some(from), Some(to)) = (arguments.next(), arguments.next()) else {
        anyhow::bail!("usage: reduce_btf FROM TO");
    };
    let btf = Btf::parse(fs::read(from)?)?;
    let hooks = FACTS.iter().flat_map(|f| f.candidates).flat_map(|c| c.hooks);
    let (mut functions, mut tracepoints) = (BTreeSet::from(["bpf_task_pt_regs"]), BTreeSet::new());
    for hook in hooks {
        match hook.attach {
            Attach::TpBtf(tracepoint) => tracepoints.insert(tracepoint),
            other => functions.insert(other.target()),
        };
    }
    let bytes = reduce(&btf, &members(), &Vec::from_iter(functions), &Vec::from_iter(tracepoints));
    println!("{to}: {} bytes", bytes.len());
    fs::write(to, bytes)?;
    Ok(())
}
