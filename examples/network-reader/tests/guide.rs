//! The composition root of the integrator's guide is the one of this package, which is compiled and tested.

#[test]
fn the_guide_shows_this_program() {
    let guide = include_str!("../../../docs/integrators-guide.md");
    let program = include_str!("../src/main.rs");
    // Without the lines that say what the file is.
    let begin = program.find("use ").expect("imports");
    let block = format!("```rust\n{}```\n", &program[begin..]);
    assert!(guide.contains(&block), "the guide should have this block:\n{block}");
}
