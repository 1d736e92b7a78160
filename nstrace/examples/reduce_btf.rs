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
    let mut functions: BTreeSet<String> = hooks
        .map(|hook| match hook.attach {
            Attach::TpBtf(tracepoint) => format!("__bpf_trace_{tracepoint}"),
            other => other.target().to_owned(),
        })
        .collect();
    functions.insert("bpf_task_pt_regs".to_owned());
    let functions: Vec<&str> = functions.iter().map(String::as_str).collect();
    let bytes = reduce(&btf, &members(), &functions);
    println!("{to}: {} bytes", bytes.len());
    fs::write(to, bytes)?;
    Ok(())
}
