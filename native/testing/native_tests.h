// The test registry of native_tests, a plain executable that sanitizers, callgrind and qemu can run. A test
// is KV_TEST(name) { ... } in any source of kind `tests`; a failed expectation is reported and the test goes
// on. It refuses to be a framework: no fixtures, no parameters, no output but failures and the count.
#pragma once

#include <sstream>
#include <string>
#include <vector>

#include "core/error.h"

namespace kvasir::testing {

struct Test {
  const char* name;
  void (*run)();
};

std::vector<Test>& Tests();

struct Registration {
  Registration(const char* name, void (*run)()) { Tests().push_back({name, run}); }
};

// Counts a failure of the running test and prints it. Thread-safe.
void Fail(const char* file, int line, const std::string& message);
// Says on the terminal that the running test could not check something here, and why.
void Skip(const std::string& reason);

template <typename A, typename B>
void ExpectEqual(const char* file, int line, const char* text, const A& a, const B& b) {
  if (a == b) return;
  std::ostringstream message;
  message << text << ": " << a << " != " << b;
  Fail(file, line, message.str());
}

// `run` must throw Error with this code and with `fragment` in its message.
template <typename Run>
void ExpectThrows(const char* file, int line, const char* text, ErrorCode code, const std::string& fragment,
                  Run run) {
  try {
    run();
  } catch (const Error& error) {
    if (error.code() != code) {
      Fail(file, line, std::string(text) + " threw " + ErrorCodeName(error.code()) + ": " + error.what());
    } else if (std::string(error.what()).find(fragment) == std::string::npos) {
      Fail(file, line, std::string(text) + ": no '" + fragment + "' in the message: " + error.what());
    }
    return;
  }
  Fail(file, line, std::string(text) + " did not throw " + ErrorCodeName(code));
}

}  // namespace kvasir::testing

#define KV_TEST(name)                                                                      \
  static void KvTest_##name();                                                             \
  static const kvasir::testing::Registration kv_registration_##name(#name, KvTest_##name); \
  static void KvTest_##name()

#define KV_EXPECT(condition)                                                             \
  do {                                                                                   \
    if (!(condition)) kvasir::testing::Fail(__FILE__, __LINE__, "expected " #condition); \
  } while (false)

#define KV_EXPECT_EQ(a, b) kvasir::testing::ExpectEqual(__FILE__, __LINE__, #a " == " #b, (a), (b))

#define KV_EXPECT_THROWS(code, expression) KV_EXPECT_THROWS_WITH(code, "", expression)

#define KV_EXPECT_THROWS_WITH(code, fragment, expression)                            \
  kvasir::testing::ExpectThrows(__FILE__, __LINE__, #expression, (code), (fragment), \
                                [&] { (void)(expression); })
