//! The thread that owns the store. SQLite blocks; the runtime's threads only wait for its answers.

use std::io;
use std::path::Path;

use tokio::sync::{mpsc, oneshot};

use super::{Answer, Request, Store};
use crate::error::{Outcome, code};

/// Statements that wait for the thread; more wait at the door, their connections unread.
const QUEUE: usize = 64;
/// Reading and computing expressions recurse, within limits that this has ample room for in a build without
/// optimisation.
const STACK_BYTES: usize = 16 * 1024 * 1024;

/// A handle on the store's thread; the thread ends when the last handle is dropped and the queue is done.
#[derive(Clone)]
pub(crate) struct Worker {
    jobs: mpsc::Sender<Job>,
}

struct Job {
    request: Request,
    answer: oneshot::Sender<Outcome<Answer>>,
}

impl Worker {
    /// Opens the store and starts its thread.
    pub fn start(folder: Option<&Path>) -> io::Result<(Self, std::thread::JoinHandle<()>)> {
        let mut store = Store::open(folder).map_err(|error| io::Error::other(error.text))?;
        let (jobs, mut queue) = mpsc::channel::<Job>(QUEUE);
        let thread = std::thread::Builder::new()
            .name("embedded-shard".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                while let Some(job) = queue.blocking_recv() {
                    // Whoever asked may be gone; what was done stays done, as on a real server.
                    let _ = job.answer.send(store.execute(job.request));
                }
            })?;
        Ok((Self { jobs }, thread))
    }

    /// Has one statement done.
    pub async fn execute(&self, request: Request) -> Outcome<Answer> {
        let (answer, answered) = oneshot::channel();
        let gone = || code::NETWORK_ERROR.error("the embedded shard is shutting down");
        self.jobs
            .send(Job { request, answer })
            .await
            .map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}
