//! The client against a scripted server on loopback. What real servers do is tested in the `tests` room.

mod forward;
mod insert;
mod mock;
mod pool;
mod query;
mod tls;

use std::time::Duration;

use bytes::Bytes;

use crate::{Endpoint, InsertRequest, Password, Replica, TlsFiles};

/// Long enough never to pass by accident.
const PATIENT: Duration = Duration::from_secs(20);

/// Short enough to wait for.
const IMPATIENT: Duration = Duration::from_millis(150);

fn endpoint(port: u16) -> Endpoint {
    Endpoint {
        host: "127.0.0.1".into(),
        port,
        secure: false,
        user: "writer".into(),
        password: Password::fixed("secret"),
        database: Some("db".into()),
        tls: TlsFiles::default(),
        connect_timeout: PATIENT,
        receive_timeout: PATIENT,
    }
}

fn replica(port: u16) -> Replica {
    Replica::new(endpoint(port), 4).unwrap()
}

fn impatient_replica(port: u16) -> Replica {
    Replica::new(
        Endpoint {
            receive_timeout: IMPATIENT,
            ..endpoint(port)
        },
        4,
    )
    .unwrap()
}

/// An INSERT that announces this payload as it is.
fn insert_of(payload: &Bytes) -> InsertRequest {
    InsertRequest {
        statement: "INSERT INTO t (a) FORMAT RowBinary".into(),
        settings: vec![("async_insert".into(), "0".into())],
        query_id: "batch-1".into(),
        envelope: true,
        payload_bytes: payload.len() as u64,
        payload_crc32: crc32fast::hash(payload),
        server: None,
    }
}
