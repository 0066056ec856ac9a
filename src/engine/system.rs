//! What the machine has.

/// Allocations above this are held against the memory that is free; asking for it takes too long to
/// do so for each small one.
pub const LARGE_BYTES: u64 = 64 << 20;

/// Memory the system can still give.
pub fn memory_available() -> u64 {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let free = system.available_memory();
    system
        .cgroup_limits()
        .map_or(free, |limits| free.min(limits.free_memory))
}

/// Memory of the machine, or what this process may have of it.
pub fn memory_in_all() -> u64 {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let total = system.total_memory();
    system
        .cgroup_limits()
        .map_or(total, |limits| total.min(limits.total_memory))
}
