//! Connections to the simulated Redis, and what can go wrong on them.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::MiniRedis;
use super::commands::{Condition, Session};
use super::reply::take_command;
use crate::sim::plan::Chaos;
use crate::sim::rng::Rng;

/// What becomes of one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Fine,
    /// Only this connection waits, before the command is done and before its answer goes out: other connections overtake it.
    Slow(Duration, Duration),
    /// Everybody waits: the server is busy elsewhere.
    Stall(Duration),
    /// Never done; the connection ends.
    CutBefore,
    /// Done, and the connection ends after so many thousandths of the answer.
    CutAfter(usize),
    /// Never done; the connection stays, and nothing comes on it any more.
    SilentBefore,
    /// Done; the same.
    SilentAfter,
    /// Answered that it cannot be done now.
    Refused(Condition),
}

const CONDITIONS: [Condition; 6] = [
    Condition::Loading,
    Condition::Busy,
    Condition::Full,
    Condition::ReadOnly,
    Condition::DiskError,
    Condition::NoReplicas,
];

impl Fate {
    pub(crate) fn draw(chaos: Chaos, rng: &mut Rng) -> Fate {
        if rng.chance(chaos.lost_before) {
            return if rng.chance(500) {
                Fate::CutBefore
            } else {
                Fate::SilentBefore
            };
        }
        if rng.chance(chaos.lost_after) {
            return if rng.chance(700) {
                Fate::CutAfter(rng.index(1_000))
            } else {
                Fate::SilentAfter
            };
        }
        if rng.chance(chaos.refused) {
            return Fate::Refused(CONDITIONS[rng.index(CONDITIONS.len())]);
        }
        if rng.chance(chaos.slow) {
            return if rng.chance(100) {
                Fate::Stall(rng.millis(5, 600))
            } else {
                Fate::Slow(rng.millis(0, 1_000), rng.millis(0, 600))
            };
        }
        Fate::Fine
    }
}

/// A server that many connections share: one command at a time.
#[derive(Clone)]
pub(crate) struct Server {
    redis: Rc<MiniRedis>,
    fate: Rc<dyn Fn() -> Fate>,
    stalled_until: Rc<RefCell<Option<tokio::time::Instant>>>,
}

impl Server {
    pub(crate) fn new(redis: MiniRedis, fate: impl Fn() -> Fate + 'static) -> Server {
        Server {
            redis: Rc::new(redis),
            fate: Rc::new(fate),
            stalled_until: Rc::default(),
        }
    }

    /// Serves a connection until it ends.
    pub(crate) async fn serve(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut session = Session::default();
        let mut buffer = Vec::new();
        loop {
            match take_command(&mut buffer) {
                Ok(Some(args)) => {
                    if !self.one(&mut stream, &mut session, &args).await {
                        return;
                    }
                }
                Ok(None) => match stream.read_buf(&mut buffer).await {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                },
                Err(what) => {
                    let _ = stream.write_all(format!("-{what}\r\n").as_bytes()).await;
                    return;
                }
            }
        }
    }

    /// One command; false when the connection is over.
    async fn one(
        &self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        session: &mut Session,
        args: &[Vec<u8>],
    ) -> bool {
        let fate = (self.fate)();
        match fate {
            Fate::CutBefore => return false,
            Fate::SilentBefore => std::future::pending().await,
            Fate::Slow(before, _) => tokio::time::sleep(before).await,
            Fate::Stall(time) => {
                *self.stalled_until.borrow_mut() = Some(tokio::time::Instant::now() + time);
            }
            _ => {}
        }
        self.unstalled().await;
        let answer = self.answer(session, args, fate);
        match fate {
            Fate::SilentAfter => std::future::pending().await,
            Fate::Slow(_, after) => tokio::time::sleep(after).await,
            Fate::CutAfter(thousandths) => {
                let part = &answer[..answer.len() * thousandths / 1_000];
                let _ = stream.write_all(part).await;
                return false;
            }
            _ => {}
        }
        stream.write_all(&answer).await.is_ok()
    }

    async fn unstalled(&self) {
        loop {
            let until = *self.stalled_until.borrow();
            match until {
                Some(until) if until > tokio::time::Instant::now() => tokio::time::sleep_until(until).await,
                _ => return,
            }
        }
    }

    fn answer(&self, session: &mut Session, args: &[Vec<u8>], fate: Fate) -> Vec<u8> {
        let core = self.redis.core();
        let before = core.borrow().condition;
        if let Fate::Refused(condition) = fate {
            core.borrow_mut().condition = Some(condition);
        }
        let reply = self.redis.execute(session, args);
        core.borrow_mut().condition = before;
        let mut bytes = Vec::new();
        reply.write(&mut bytes);
        bytes
    }
}
