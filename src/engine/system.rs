//! What the machine has.

/// Allocations above this are held against the memory that is free; asking for it takes too long to
/// do so for each small one.
pub const LARGE_BYTES: u64 = 64 << 20;

/// Memory the system can still give.
pub fn memory_available() -> u64 {
    memory().0
}

/// Memory of the machine, or what this process may have of it.
pub fn memory_in_all() -> u64 {
    memory().1
}

/// What is free and what there is, of the machine or of what this process is confined to.
fn memory() -> (u64, u64) {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let (free, all) = (system.available_memory(), system.total_memory());
    system.cgroup_limits().map_or((free, all), |limits| {
        (free.min(limits.free_memory), all.min(limits.total_memory))
    })
}
