//! Fuzzes the format that `FUZZ_FORMAT` names; `FUZZ_FORMAT=list` prints all of them.
#![no_main]

use std::sync::OnceLock;

use formats::Format;
use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<fuzz::Target> = OnceLock::new();

/// Others' crates may panic at a broken file, where formats catches it and reports an error; libFuzzer's own hook would end
/// the run there.
fn let_panics_of_others_pass() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let is_of_others = |place: &std::panic::Location<'_>| place.file().contains("/registry/src/");
        if !panic.location().is_some_and(is_of_others) {
            hook(panic);
        }
    }));
}

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
        let_panics_of_others_pass();
        TARGET.get_or_init(target);
    },
    |data: &[u8]| {
        TARGET.get_or_init(target).run(data);
    }
);
