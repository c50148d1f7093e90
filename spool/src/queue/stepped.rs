//! A spool without threads: somebody does their work step by step, in an order drawn by [`host`].

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot::error::TryRecvError;

use super::{Opened, Running, Spool, Sweeping};
use crate::commit::{Job, JournalThread};
use crate::disk::sim::SimDisk;
use crate::error::OpenError;
use crate::host;
use crate::model::Options;
use crate::retain;
use crate::shared::Shared;
use crate::status::RecoveryReport;
use crate::work::{self, AskedCut};

/// One step in so many looks at sent/.
const RETENTION_ONE_IN: u128 = 64;

/// Does what a spool's threads do.
#[derive(Debug)]
pub struct Stepper {
    shared: Arc<Shared>,
    /// None after it has failed or ended.
    journal: Option<JournalThread>,
    waiting: VecDeque<Job>,
    cuts: Vec<AskedCut>,
}

impl Spool {
    /// As [`Spool::open`], on a simulated disk; nothing moves but by the stepper.
    pub fn open_stepped(
        disk: &SimDisk,
        options: Options,
    ) -> Result<(Spool, Stepper, RecoveryReport), OpenError> {
        let opened = Opened::roll_forward(Arc::new(disk.clone()), options, Sweeping::Alone)?;
        let Opened { shared, journal, .. } = opened;
        let report = shared.recovery().cloned().unwrap_or_default();
        shared.is_stepped.store(true, Ordering::Relaxed);
        let running = Running {
            shared: Arc::clone(&shared),
            journal: Mutex::default(),
            files: Mutex::default(),
            _lock: None,
        };
        let stepper = Stepper {
            shared,
            journal: Some(journal),
            waiting: VecDeque::new(),
            cuts: Vec::new(),
        };
        let running = Arc::new(running);
        Ok((Spool { running }, stepper, report))
    }
}

impl Stepper {
    /// Does what there is to do until the spool is shut down and all is done. Between two steps others have their turn;
    /// dropped anywhere it is a process that was killed there.
    pub async fn run(mut self) {
        loop {
            while self.step() {
                tokio::task::yield_now().await;
            }
            if self.is_over() {
                return;
            }
            let shared = &self.shared;
            tokio::select! {
                biased;
                () = shared.inbox.heard.notified() => {}
                () = shared.work.heard.notified() => {}
                () = tokio::time::sleep(work::sleep_time(shared)) => {}
            }
        }
    }

    /// One group of the journal, or one piece of the other threads' work; false when there is neither.
    pub fn step(&mut self) -> bool {
        let drawn = host::random();
        if drawn.is_multiple_of(RETENTION_ONE_IN) {
            retain::sweep(&self.shared);
        }
        match drawn & 0x100 {
            0 => self.step_journal() || self.step_files(),
            _ => self.step_files() || self.step_journal(),
        }
    }

    fn step_journal(&mut self) -> bool {
        while let Some(job) = self.shared.inbox.pop() {
            self.waiting.push_back(job);
        }
        let Some(mut journal) = self.journal.take() else {
            return false;
        };
        if self.waiting.is_empty() {
            match self.shared.inbox.is_done() {
                true => journal.close(),
                false => self.journal = Some(journal),
            }
            return false;
        }
        if let ControlFlow::Continue(deferred) = journal.turn(std::mem::take(&mut self.waiting)) {
            self.waiting = deferred;
            self.journal = Some(journal);
        }
        true
    }

    fn step_files(&mut self) -> bool {
        self.end_cuts();
        if let Some(work) = self.shared.work.pop() {
            work::perform(&self.shared, work);
            return true;
        }
        if self.shared.work.is_done() {
            if self.cuts.is_empty() {
                self.shared.inbox.close();
            }
            return false;
        }
        let Some(plan) = work::claim(&self.shared) else {
            return false;
        };
        self.cuts.extend(work::begin_cut(&self.shared, plan));
        true
    }

    fn end_cuts(&mut self) {
        for mut cut in std::mem::take(&mut self.cuts) {
            match cut.answer.try_recv() {
                Err(TryRecvError::Empty) => self.cuts.push(cut),
                answer => {
                    let answer = answer.unwrap_or_else(|_| Err(self.shared.queue_error()));
                    work::end_cut(&self.shared, &cut.plan, answer);
                }
            }
        }
    }

    /// Whether everything is done after a shutdown.
    fn is_over(&self) -> bool {
        self.journal.is_none() && self.shared.work.is_done() && self.cuts.is_empty()
    }
}
