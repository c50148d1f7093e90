//! Fuzzes the format that `FUZZ_FORMAT` names; `FUZZ_FORMAT=list` prints all of them.
#![no_main]

use std::sync::OnceLock;

use formats::Format;
use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<fuzz::Target> = OnceLock::new();

fn target() -> fuzz::Target {
    let name = std::env::var("FUZZ_FORMAT").expect("FUZZ_FORMAT names a format");
    if name == "list" {
        Format::all().for_each(|format| println!("{}", format.name()));
        std::process::exit(0);
    }
    fuzz::Target::new(Format::parse(&name).expect("FUZZ_FORMAT names a format"))
}

fuzz_target!(
    init: {
        TARGET.get_or_init(target);
    },
    |data: &[u8]| {
        TARGET.get_or_init(target).run(data);
    }
);
