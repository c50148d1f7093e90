//! Every background task has a name and an owner; shutdown waits for them and names those that did not stop.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Tasks that stop together.
#[derive(Debug, Clone)]
pub struct Tasks {
    stop: Arc<watch::Sender<bool>>,
    running: Arc<Mutex<Vec<NamedTask>>>,
}

type NamedTask = (String, JoinHandle<()>);

/// Tells a task that it should end.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Resolves once the tasks should stop; at once when they should already.
    pub async fn requested(&mut self) {
        // An error means that the owner is gone, which is a request too.
        let _ = self.0.wait_for(|stop| *stop).await;
    }

    /// Whether the tasks should stop.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }
}

impl Default for Tasks {
    fn default() -> Self {
        Self {
            stop: Arc::new(watch::Sender::new(false)),
            running: Arc::default(),
        }
    }
}

impl Tasks {
    /// Starts a task under a name; it is given the means to learn when to stop.
    pub fn spawn<F>(&self, name: impl Into<String>, task: impl FnOnce(Stop) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let handle = tokio::spawn(task(self.stop_signal()));
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|(_, handle)| !handle.is_finished());
        running.push((name.into(), handle));
    }

    /// Learns when these tasks should stop, without being one of them.
    pub fn stop_signal(&self) -> Stop {
        Stop(self.stop.subscribe())
    }

    /// None of the tasks runs any more when this returns, as after the end of the process.
    #[cfg(test)]
    pub fn abort(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.iter().for_each(|(_, handle)| handle.abort());
    }

    /// Asks all tasks to stop and waits for them, at most for `patience`; returns the names of those still
    /// running, aborted.
    pub async fn stop(&self, patience: Duration) -> Vec<String> {
        self.stop.send_replace(true);
        let deadline = tokio::time::Instant::now() + patience;
        let running = std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        let mut stragglers = Vec::new();
        for (name, mut handle) in running {
            match tokio::time::timeout_at(deadline, &mut handle).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(task = name, %error, "a task ended badly"),
                Err(_) => {
                    handle.abort();
                    stragglers.push(name);
                }
            }
        }
        stragglers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn stopping_waits_for_tasks_and_names_the_stragglers() {
        let tasks = Tasks::default();
        tasks.spawn("polite", |mut stop| async move { stop.requested().await });
        tasks.spawn("deaf", |_| std::future::pending());
        assert_eq!(tasks.stop(Duration::from_secs(5)).await, ["deaf"]);
    }
}
