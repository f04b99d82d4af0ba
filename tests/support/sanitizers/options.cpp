// The settings of the sanitizers' runtimes, part of every sanitized program. What ASAN_OPTIONS,
// UBSAN_OPTIONS, LSAN_OPTIONS or TSAN_OPTIONS say is added to them; tests/support/daemon.py adds
// where reports are written.

// Third-party code only, each line with its reason.
namespace {
constexpr char leaks_of_others[] = "";
constexpr char races_of_others[] = "";
}  // namespace

extern "C" {

const char* __asan_default_options() {
    return "detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1:check_"
           "initialization_order=1:"
           "strict_init_order=1:exitcode=99";
}

const char* __ubsan_default_options() { return "print_stacktrace=1:exitcode=99"; }

const char* __lsan_default_options() { return "print_suppressions=0"; }

const char* __lsan_default_suppressions() { return leaks_of_others; }

const char* __tsan_default_options() {
    return "second_deadlock_stack=1:history_size=4:exitcode=99";
}

const char* __tsan_default_suppressions() { return races_of_others; }

}  // extern "C"
