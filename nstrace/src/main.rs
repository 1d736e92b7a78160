use std::time::Duration;
fn main() -> anyhow::Result<()> {
    let mode = std::env::args().nth(1);
    let attach = match mode.as_deref() { Some("kprobe") => Some(nstrace::kernel::report::AttachMode::Kprobe), Some("fentry") => Some(nstrace::kernel::report::AttachMode::Fentry), Some("tracepoint") => Some(nstrace::kernel::report::AttachMode::Tracepoint), _ => None };
    let mut t = nstrace::kernel::start(&nstrace::kernel::Options { attach, ring_bytes: None })?;
    for (h, v) in &t.refusals { println!("REFUSED {h:?}\n{}", if std::env::var_os("V").is_some() { v.as_str() } else { "" }); }
    for f in &t.report.facts { println!("{:20} {:?} {:?}", f.fact, f.coverage, f.invisible); for h in &f.hooks { println!("      {} {} {}", h.kind, h.target, h.rejected.as_deref().unwrap_or("ATTACHED")); } }
    for c in &t.report.checks { println!("{c:?}"); }
    let tasks = t.read_tasks()?;
    println!("iter bytes {}", tasks.len());
    let n: u64 = std::env::args().nth(2).and_then(|n| n.parse().ok()).unwrap_or(5);
    for _ in 0..n {
        if let Some(b) = t.ring.next(Duration::from_secs(1))? {
            for r in b.records() { println!("rec kind {} hook {} len {} {:?}", u16::from_le_bytes([r[16], r[17]]), nstrace::kernel::hook_name(u16::from_le_bytes([r[18], r[19]])), r.len(), &r[24..r.len().min(60)]); }
        }
    }
    println!("drops {:?} skipped {:?}", t.counters.ring_full()?, t.counters.skipped());
    Ok(())
}
