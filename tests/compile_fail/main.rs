//! Mistakes that do not compile, a file each, and what the compiler says about them.

#[test]
fn mistakes_do_not_compile() {
    let mistakes = trybuild::TestCases::new();
    mistakes.compile_fail("compile_fail/*_not_*.rs");
}
