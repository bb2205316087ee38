//! What the process uses, and what it may use, as Linux tells it.

use std::{fs, path::PathBuf};

use super::judge::Share;

/// Where to look.
#[derive(Debug)]
pub(super) struct Usage {
    /// The files with the memory limits of the control group and of those above it.
    groups: Vec<PathBuf>,
    machine: u64,
}

/// One look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) memory: Share,
    pub(super) descriptors: Share,
    /// The bytes that the memory in use is compared with.
    pub(super) memory_limit: u64,
}

/// What traffic leaves of the descriptors, as a part of all and at least.
const RESERVED_PART: u64 = 50;
const LEAST_RESERVED: u64 = 16;

impl Usage {
    pub(super) fn new() -> Self {
        let machine = fs::read_to_string("/proc/meminfo")
            .ok()
            .and_then(|text| kilobytes(&text, "MemTotal:"));
        Self {
            groups: fs::read_to_string("/proc/self/cgroup")
                .map(|text| limit_files(&text))
                .unwrap_or_default(),
            machine: machine.unwrap_or(u64::MAX),
        }
    }

    /// Looks now. What cannot be read does not limit anything.
    pub(super) fn read(&self, max_memory: Option<u64>) -> Reading {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let resident = Share {
            used: kilobytes(&status, "VmRSS:").unwrap_or(0),
            of: max_memory.unwrap_or_else(|| self.memory()),
        };
        let addresses = Share {
            used: kilobytes(&status, "VmSize:").unwrap_or(0),
            of: soft_limit(&limits, "Max address space"),
        };
        Reading {
            memory: if max_memory.is_none() {
                tighter(resident, addresses)
            } else {
                resident
            },
            descriptors: Share {
                used: open_descriptors(),
                of: soft_limit(&limits, "Max open files"),
            },
            memory_limit: resident.of.min(addresses.of),
        }
    }

    fn memory(&self) -> u64 {
        let groups = self.groups.iter().filter_map(|file| {
            let text = fs::read_to_string(file).ok()?;
            // "max" is no number, and no limit.
            text.trim().parse().ok()
        });
        groups.fold(self.machine, u64::min)
    }
}

impl Reading {
    /// The first descriptor that traffic may not have.
    pub(super) fn reserve_from(&self) -> u64 {
        let all = self.descriptors.of;
        let reserved = (all / RESERVED_PART).max(LEAST_RESERVED);
        all.saturating_sub(reserved)
    }
}

/// The share that is nearer to its limit.
fn tighter(one: Share, other: Share) -> Share {
    let first = u128::from(one.used) * u128::from(other.of);
    let second = u128::from(other.used) * u128::from(one.of);
    if first >= second { one } else { other }
}

/// The number of open descriptors. Linux tells it as the size of the directory since 6.2; before, they are counted.
fn open_descriptors() -> u64 {
    const DIRECTORY: &str = "/proc/self/fd";
    match fs::metadata(DIRECTORY).map_or(0, |directory| directory.len()) {
        0 => fs::read_dir(DIRECTORY).map_or(0, |all| all.count() as u64),
        count => count,
    }
}

/// The figure of a line such as `VmRSS:     1234 kB`, in bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let figure = line.split_whitespace().next()?;
    figure.parse::<u64>().ok()?.checked_mul(1024)
}

/// The soft limit of a line of `/proc/self/limits`.
fn soft_limit(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next())
        .and_then(|figure| figure.parse().ok())
        .unwrap_or(u64::MAX)
}

/// The files with the limits of the memory group in `/proc/self/cgroup` and of every group above it.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (root, name) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|it| it == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let mut group = group.trim_matches('/');
        loop {
            files.push(PathBuf::from(root).join(group).join(name));
            let Some((above, _)) = group.rsplit_once('/') else {
                break;
            };
            group = above;
        }
        if !group.is_empty() {
            files.push(PathBuf::from(root).join(name));
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_of_all_groups_above_count() {
        let files = |text| -> Vec<String> {
            let files = limit_files(text);
            files
                .iter()
                .map(|file| file.display().to_string())
                .collect()
        };
        assert_eq!(
            files("0::/system.slice/portcullis.service\n"),
            [
                "/sys/fs/cgroup/system.slice/portcullis.service/memory.max",
                "/sys/fs/cgroup/system.slice/memory.max",
                "/sys/fs/cgroup/memory.max",
            ]
        );
        assert_eq!(
            files("9:name=systemd:/a\n4:memory:/b\n"),
            [
                "/sys/fs/cgroup/memory/b/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            ]
        );
        assert_eq!(files("0::/\n"), ["/sys/fs/cgroup/memory.max"]);
    }

    #[test]
    fn figures_are_read_from_their_lines() {
        let status = "Name:\tx\nVmSize:\t  2048 kB\nVmRSS:\t     100 kB\n";
        assert_eq!(kilobytes(status, "VmRSS:"), Some(102_400));
        assert_eq!(kilobytes(status, "VmSwap:"), None);
        let limits = "Max open files            1024                 4096                 files\n\
                      Max address space         unlimited            unlimited            bytes\n";
        assert_eq!(soft_limit(limits, "Max open files"), 1024);
        assert_eq!(soft_limit(limits, "Max address space"), u64::MAX);
    }

    #[test]
    fn this_process_uses_something_and_may_use_more() {
        let reading = Usage::new().read(None);
        for share in [reading.memory, reading.descriptors] {
            assert!(0 < share.used && share.used < share.of, "{share:?}");
        }
        assert!(reading.memory_limit < u64::MAX);
        assert_eq!(Usage::new().read(Some(5)).memory.of, 5);
    }

    #[test]
    fn some_descriptors_are_left_to_others_than_traffic() {
        let reserve = |of| {
            let none = Share { used: 0, of };
            let reading = Reading {
                memory: none,
                descriptors: none,
                memory_limit: 0,
            };
            reading.reserve_from()
        };
        assert_eq!([20_000, 1_024, 64].map(reserve), [19_600, 1_004, 48]);
    }

    #[test]
    fn the_tighter_share_counts() {
        let half = Share { used: 1, of: 2 };
        let most = Share { used: 9, of: 10 };
        assert_eq!(tighter(half, most), most);
        assert_eq!(tighter(most, half), most);
    }
}
