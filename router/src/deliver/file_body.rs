//! A batch's frames as a stream for the sending connection: read ahead on a blocking thread, two pieces at
//! most in memory.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use shard_client::Payload;
use tokio::sync::mpsc;

/// Bytes read at once: large enough that a disk streams, small enough that many senders fit in memory.
const PIECE_BYTES: usize = 256 * 1024;

/// Pieces read ahead of the connection.
const PIECES_AHEAD: usize = 2;

/// The bytes of `range` of a file. An error of the file ends the payload with it, so that the send is visibly
/// cut.
pub fn payload(path: PathBuf, range: Range<u64>) -> Payload {
    let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
    // The reader ends by itself: at the range's end, at an error, or when the connection drops the receiver.
    tokio::task::spawn_blocking(move || {
        if let Err(error) = read(&path, range, &sender) {
            let _ = sender.blocking_send(Err(error));
        }
    });
    Payload::from(receiver)
}

/// No bytes at all.
pub fn nothing() -> Payload {
    Payload::from(mpsc::channel(1).1)
}

fn read(path: &Path, range: Range<u64>, sender: &mpsc::Sender<io::Result<Bytes>>) -> io::Result<()> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(range.start))?;
    let mut left = range.end.saturating_sub(range.start);
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        let mut piece = BytesMut::zeroed(wanted);
        file.read_exact(&mut piece)?;
        left -= wanted as u64;
        if sender.blocking_send(Ok(piece.freeze())).is_err() {
            return Ok(());
        }
    }
    Ok(())
}
