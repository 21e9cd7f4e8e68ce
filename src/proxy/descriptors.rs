//! File descriptors: each connection takes one, and mostly another towards the upstream. Those for the ledger, the admin listener, the log and the files
//! must be there whatever clients do (A22).

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Kept back, where there are many.
const RESERVE: u64 = 256;

/// How many connections of clients there may be at once: as many as wanted, if the process may have descriptors for them. It takes as many as the system
/// lets it have.
pub(super) fn room_for(connections: usize) -> usize {
    let room = connections_within(raised());
    if room < connections {
        tracing::warn!(
            wanted = connections,
            room,
            "fewer connections than server.connections_max: the limit of open files (ulimit -n, LimitNOFILE=) allows no more"
        );
    }
    connections.min(room)
}

/// The limit of descriptors, after raising it as far as that is allowed.
fn raised() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && setrlimit(
            Resource::Nofile,
            Rlimit {
                current: maximum,
                maximum,
            },
        )
        .is_ok()
    {
        return maximum;
    }
    current
}

fn connections_within(descriptors: Option<u64>) -> usize {
    let Some(descriptors) = descriptors else {
        return usize::MAX;
    };
    let reserve = RESERVE.min(descriptors / 2);
    usize::try_from((descriptors - reserve) / 2)
        .unwrap_or(usize::MAX)
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_what_is_left_is_for_clients() {
        assert_eq!(connections_within(None), usize::MAX);
        assert_eq!(connections_within(Some(64)), 16);
        assert_eq!(connections_within(Some(1_024)), 384);
        assert_eq!(connections_within(Some(20_000)), 9_872);
        assert_eq!(connections_within(Some(1)), 1);
    }
}
