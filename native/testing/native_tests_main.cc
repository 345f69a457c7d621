// native_tests [--list | part of a test name]
#include <cstdio>
#include <cstring>
#include <exception>
#include <mutex>

#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

const char* running_test = "";
int n_failures = 0;  // of the running test
std::mutex failures_mutex;

int RunAll(const char* filter) {
  int n_passed = 0;
  int n_failed = 0;
  for (const Test& test : Tests()) {
    if (std::strstr(test.name, filter) == nullptr) continue;
    running_test = test.name;
    n_failures = 0;
    try {
      test.run();
    } catch (const std::exception& error) {
      Fail(__FILE__, __LINE__, std::string("uncaught exception: ") + error.what());
    }
    n_failures == 0 ? ++n_passed : ++n_failed;
  }
  std::printf("%d passed, %d failed\n", n_passed, n_failed);
  // A filter that matches nothing must not look like success.
  return n_failed == 0 && n_passed > 0 ? 0 : 1;
}

}  // namespace

std::vector<Test>& Tests() {
  static std::vector<Test> tests;
  return tests;
}

void Fail(const char* file, int line, const std::string& message) {
  const std::lock_guard<std::mutex> lock(failures_mutex);
  ++n_failures;
  std::printf("%s:%d: %s: %s\n", file, line, running_test, message.c_str());
}

void Skip(const std::string& reason) { std::printf("skipped in %s: %s\n", running_test, reason.c_str()); }

}  // namespace kvasir::testing

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "--list") == 0) {
    for (const auto& test : kvasir::testing::Tests()) std::puts(test.name);
    return 0;
  }
  return kvasir::testing::RunAll(argc > 1 ? argv[1] : "");
}
