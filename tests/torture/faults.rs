//! What goes wrong at the shards, by the seed.

use support::{Fault, SplitMix};

use crate::bed::Bed;

/// Codes with which a shard says that something may pass: read-only, too many queries, memory, a timeout, the socket, too many
/// parts.
const PASSING_CODES: [u32; 6] = [242, 202, 241, 159, 209, 252];

/// Orders faults and ends them again.
pub struct Faults {
    random: SplitMix,
    frozen: Vec<bool>,
}

impl Faults {
    pub fn new(seed: u64) -> Self {
        Self {
            random: SplitMix::new(!seed),
            frozen: Vec::new(),
        }
    }

    /// Some servers get a fault; those of the last round end, but for what is still to come.
    pub fn order(&mut self, bed: &Bed) {
        if self.random.below(3) > 0 {
            self.end(bed);
        }
        self.frozen.resize(bed.old.len(), false);
        for number in 0..bed.old.len() {
            self.thaw(bed, number);
            match self.random.below(10) {
                0 | 1 => bed.old[number].1.cut_after(self.some_bytes()),
                2 | 3 => bed.old[number].1.drop_answer(),
                4 => bed.old[number].1.keep_answers(),
                5 => {
                    bed.old[number].0.freeze();
                    self.frozen[number] = true;
                }
                _ => {}
            }
        }
        for (server, proxy) in &bed.modern {
            let times = 1 + self.random.below(20) as u32;
            match self.random.below(10) {
                0 => proxy.cut_after(self.some_bytes()),
                1 => proxy.drop_answer(),
                2 => proxy.keep_answers(),
                3 => server.fault(Fault::Fail {
                    code: PASSING_CODES[self.random.below(6) as usize],
                    times,
                }),
                4 => server.fault(Fault::CutBefore),
                5 => server.fault(Fault::CutAfter),
                6 => server.fault(Fault::Late(200 + self.random.below(6_000) as u32)),
                7 => server.fault(Fault::Hang),
                _ => {}
            }
        }
    }

    /// Everything works again.
    pub fn end(&mut self, bed: &Bed) {
        self.frozen.resize(bed.old.len(), false);
        for number in 0..bed.old.len() {
            self.thaw(bed, number);
            bed.old[number].1.release();
        }
        for (server, proxy) in &bed.modern {
            server.fault(Fault::None);
            proxy.release();
        }
    }

    /// A frozen server must not stay so for long: ZooKeeper would take it for dead.
    fn thaw(&mut self, bed: &Bed, number: usize) {
        if std::mem::take(&mut self.frozen[number]) {
            bed.old[number].0.thaw();
        }
    }

    /// In the head, near the beginning, or far inside of a large one.
    fn some_bytes(&mut self) -> u64 {
        match self.random.below(3) {
            0 => 1 + self.random.below(2_000),
            1 => 1_000 + self.random.below(20_000),
            _ => 20_000 + self.random.below(20_000_000),
        }
    }
}
