//! The bytes of one simulated file: as the process sees them, and as the disk has them.

use std::sync::{Arc, Mutex};

use super::Coin;
use crate::files::now_ms;

/// What a disk writes in one go.
const SECTOR_BYTES: usize = 512;

#[derive(Debug, Default, Clone)]
pub(super) struct Contents {
    /// As the process sees them.
    pub live: Vec<u8>,
    /// As they were when they were last synced.
    durable: Vec<u8>,
    /// What happened since, in order.
    unsynced: Vec<Change>,
    pub changed_at_ms: u64,
}

#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

impl Contents {
    /// On the disk from the start.
    pub fn durable(bytes: Vec<u8>) -> Contents {
        Contents {
            durable: bytes.clone(),
            live: bytes,
            changed_at_ms: now_ms(),
            ..Contents::default()
        }
    }

    pub fn write(&mut self, offset: usize, bytes: Vec<u8>) {
        overwrite(&mut self.live, offset, &bytes);
        self.unsynced.push(Change::Write(offset, bytes));
    }

    pub fn set_len(&mut self, bytes: usize) {
        self.live.resize(bytes, 0);
        self.unsynced.push(Change::SetLen(bytes));
    }

    pub fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            match change {
                Change::Write(offset, bytes) => overwrite(&mut self.durable, offset, &bytes),
                Change::SetLen(bytes) => self.durable.resize(bytes, 0),
            }
        }
    }

    /// A sync that failed: the kernel takes what was not written for clean all the same.
    pub fn lose_unsynced(&mut self) {
        self.unsynced.clear();
    }

    /// What was synced, and by the coin any sector and any change of length of what was not.
    pub fn after_power_loss(&self, coin: &mut Coin) -> Arc<Mutex<Contents>> {
        let mut bytes = self.durable.clone();
        for change in &self.unsynced {
            match change {
                Change::Write(offset, written) => {
                    for (sector, chunk) in written.chunks(SECTOR_BYTES).enumerate() {
                        if coin.toss() {
                            overwrite(&mut bytes, offset + sector * SECTOR_BYTES, chunk);
                        }
                    }
                }
                Change::SetLen(len) if coin.toss() => bytes.resize(*len, 0),
                Change::SetLen(_) => {}
            }
        }
        Arc::new(Mutex::new(Contents {
            changed_at_ms: self.changed_at_ms,
            ..Contents::durable(bytes)
        }))
    }
}

fn overwrite(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[offset..end].copy_from_slice(bytes);
}
