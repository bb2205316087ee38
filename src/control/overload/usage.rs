//! What the process uses, and what it may use, as Linux tells it.

use std::{fs, io::ErrorKind, path::PathBuf};

use rustix::process::{Resource, getrlimit};

use super::judge::Share;

/// Where to look, and what was seen. To read a file takes a descriptor, and there may be none: what cannot be read is as
/// it was.
#[derive(Debug)]
pub(super) struct Usage {
    /// The file that tells of this process.
    status: PathBuf,
    resident: u64,
    /// The limits of memory of the control group and of those above it.
    groups: Vec<Group>,
    machine: u64,
    /// Address space that was taken at the start and is no memory that anything is kept in.
    aside: u64,
}

#[derive(Debug)]
struct Group {
    file: PathBuf,
    limit: u64,
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
/// The most that the program, its libraries and its stacks take of the address space. The allocator reserves more at
/// the start, where it can; but that is for what will be kept.
const MOST_ASIDE: u64 = 512 << 20;

impl Usage {
    pub(super) fn new() -> Self {
        let machine = fs::read_to_string("/proc/meminfo")
            .ok()
            .and_then(|text| kilobytes(&text, "MemTotal:"));
        let status = PathBuf::from("/proc/self/status");
        let text = fs::read_to_string(&status).unwrap_or_default();
        let figure = |name| kilobytes(&text, name).unwrap_or(0);
        let groups = fs::read_to_string("/proc/self/cgroup")
            .map(|text| limit_files(&text))
            .unwrap_or_default();
        let group = |file| Group {
            file,
            limit: u64::MAX,
        };
        Self {
            status,
            resident: figure("VmRSS:"),
            aside: figure("VmSize:")
                .saturating_sub(figure("VmRSS:"))
                .min(MOST_ASIDE),
            groups: groups.into_iter().map(group).collect(),
            machine: machine.unwrap_or(u64::MAX),
        }
    }

    /// Looks now. What was never there to be read does not limit anything.
    pub(super) fn read(&mut self, max_memory: Option<u64>) -> Reading {
        if let Ok(status) = fs::read_to_string(&self.status) {
            self.resident = kilobytes(&status, "VmRSS:").unwrap_or(0);
        }
        let memory = Share {
            used: self.resident,
            of: max_memory.unwrap_or_else(|| {
                let addresses = soft_limit(Resource::As);
                self.memory().min(addresses.saturating_sub(self.aside))
            }),
        };
        Reading {
            memory,
            descriptors: Share {
                used: open_descriptors(),
                of: soft_limit(Resource::Nofile),
            },
            memory_limit: memory.of,
        }
    }

    fn memory(&mut self) -> u64 {
        for group in &mut self.groups {
            match fs::read_to_string(&group.file) {
                // "max" is no number, and no limit.
                Ok(text) => group.limit = text.trim().parse().unwrap_or(u64::MAX),
                Err(error) if error.kind() == ErrorKind::NotFound => group.limit = u64::MAX,
                Err(_) => {}
            }
        }
        let limits = self.groups.iter().map(|group| group.limit);
        limits.fold(self.machine, u64::min)
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

/// The number of open descriptors. Linux tells it as the size of the directory since 6.2; before, they are counted.
fn open_descriptors() -> u64 {
    const DIRECTORY: &str = "/proc/self/fd";
    match fs::metadata(DIRECTORY).map_or(0, |directory| directory.len()) {
        // Without a descriptor to read it with, all are in use.
        0 => fs::read_dir(DIRECTORY).map_or(u64::MAX, |all| all.count() as u64),
        count => count,
    }
}

/// The figure of a line such as `VmRSS:     1234 kB`, in bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let figure = line.split_whitespace().next()?;
    figure.parse::<u64>().ok()?.checked_mul(1024)
}

/// What the process may have of it at the moment.
fn soft_limit(resource: Resource) -> u64 {
    getrlimit(resource).current.unwrap_or(u64::MAX)
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
    }

    #[test]
    fn what_cannot_be_read_for_want_of_descriptors_is_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let (status, limit) = (
            directory.path().join("status"),
            directory.path().join("limit"),
        );
        fs::write(&status, "VmRSS:\t100 kB\n").unwrap();
        fs::write(&limit, "300000\n").unwrap();
        let mut usage = Usage {
            status: status.clone(),
            resident: 0,
            groups: vec![Group {
                file: limit.clone(),
                limit: u64::MAX,
            }],
            machine: 500_000,
            aside: 0,
        };
        let memory = |usage: &mut Usage| {
            let memory = usage.read(None).memory;
            (memory.used, memory.of)
        };
        assert_eq!(memory(&mut usage), (102_400, 300_000));
        // What is a directory cannot be read either, and is not gone.
        for file in [&status, &limit] {
            fs::remove_file(file).unwrap();
            fs::create_dir(file).unwrap();
        }
        assert_eq!(memory(&mut usage), (102_400, 300_000));
        fs::remove_dir(&limit).unwrap();
        assert_eq!(memory(&mut usage), (102_400, 500_000));
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
}
