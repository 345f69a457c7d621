// native_tests [--list | --until-failure | --times | --share i/n] [parts of test names]
//   --until-failure   ends at the first expectation that fails
//   --times           prints what each test took, in seconds
//   --share i/n       every n-th test from the i-th (1 .. n) on: n processes run all
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>
#include <vector>

#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

const char* running_test = "";
int n_failures = 0;  // of the running test
bool until_failure = false;
bool with_times = false;
int share = 1, n_shares = 1;
std::mutex failures_mutex;

bool IsWanted(const char* name, const std::vector<const char*>& parts) {
  const auto is_in_name = [=](const char* part) { return std::strstr(name, part) != nullptr; };
  return parts.empty() || std::any_of(parts.begin(), parts.end(), is_in_name);
}

int RunAll(const std::vector<const char*>& parts) {
  int n_passed = 0;
  int n_failed = 0;
  int index = 0;
  for (const Test& test : Tests()) {
    if (!IsWanted(test.name, parts) || index++ % n_shares != share - 1) continue;
    running_test = test.name;
    n_failures = 0;
    const auto start = std::chrono::steady_clock::now();
    try {
      test.run();
    } catch (const std::exception& error) {
      Fail(__FILE__, __LINE__, std::string("uncaught exception: ") + error.what());
    }
    n_failures == 0 ? ++n_passed : ++n_failed;
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    if (with_times) std::printf("%8.2f s %s\n", seconds.count(), test.name);
  }
  std::printf("%d passed, %d failed\n", n_passed, n_failed);
  // Parts that match nothing must not look like success.
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
  if (!until_failure) return;
  std::puts("0 passed, 1 failed");
  std::fflush(stdout);
  std::_Exit(1);  // past the destructors of a test in its midst
}

void Skip(const std::string& reason) { std::printf("skipped in %s: %s\n", running_test, reason.c_str()); }

}  // namespace kvasir::testing

// False: no such option.
bool ReadOption(std::vector<const char*>* arguments) {
  using namespace kvasir::testing;
  const char* option = arguments->front();
  arguments->erase(arguments->begin());
  if (std::strcmp(option, "--until-failure") == 0) return until_failure = true;
  if (std::strcmp(option, "--times") == 0) return with_times = true;
  if (std::strcmp(option, "--share") != 0 || arguments->empty()) return false;
  const char* value = arguments->front();
  arguments->erase(arguments->begin());
  return std::sscanf(value, "%d/%d", &share, &n_shares) == 2 && share >= 1 && share <= n_shares;
}

int main(int argc, char** argv) {
  std::vector<const char*> parts(argv + 1, argv + argc);
  if (!parts.empty() && std::strcmp(parts[0], "--list") == 0) {
    for (const auto& test : kvasir::testing::Tests()) std::puts(test.name);
    return 0;
  }
  while (!parts.empty() && parts[0][0] == '-') {
    const char* option = parts[0];
    if (ReadOption(&parts)) continue;
    std::fprintf(stderr, "native_tests cannot read the option %s\n", option);
    return 2;
  }
  return kvasir::testing::RunAll(parts);
}
