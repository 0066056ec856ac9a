//! What the machine has.

/// Allocations above this many bytes are checked against the memory that is free; asking how much
/// that is takes too long for each small one.
pub const LARGE_BYTES: u64 = 64 << 20;

/// Bytes of memory that the system can still give.
pub fn memory_available() -> u64 {
    memory().0
}

/// Bytes of memory of the machine, or of the part that this process may use.
pub fn memory_in_all() -> u64 {
    memory().1
}

/// Bytes that are free and bytes in all, of the machine or of the part that this process may use.
fn memory() -> (u64, u64) {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let (free, all) = (system.available_memory(), system.total_memory());
    system.cgroup_limits().map_or((free, all), |limits| {
        (free.min(limits.free_memory), all.min(limits.total_memory))
    })
}
