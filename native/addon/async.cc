#include "addon/async.h"

#include <mutex>

#include "core/start_thread.h"

namespace kvasir::addon {

struct JsQueue::State {
  static void Run(Napi::Env env, Napi::Function, std::nullptr_t*, JsTask* task) {
    const std::unique_ptr<JsTask> owned(task);
    if (env == nullptr) return;  // the environment is closing
    Napi::HandleScope scope(env);
    (*owned)(env);
  }

  std::mutex mutex;
  bool open = true;
  Napi::TypedThreadSafeFunction<std::nullptr_t, JsTask, Run> function;
};

JsQueue::JsQueue(Napi::Env env, const char* name) : state_(std::make_shared<State>()) {
  using Shared = std::shared_ptr<State>;
  state_->function = decltype(State::function)::New(
      env, name, 0, 1, nullptr,
      [](Napi::Env, Shared* shared, std::nullptr_t*) {
        const std::unique_ptr<Shared> owned(shared);
        const std::lock_guard lock((*shared)->mutex);
        if ((*shared)->open) (*shared)->function.Release();
        (*shared)->open = false;
      },
      new Shared(state_));
}

void JsQueue::Ref(Napi::Env env) const {
  const std::lock_guard lock(state_->mutex);
  if (state_->open) state_->function.Ref(env);
}

void JsQueue::Unref(Napi::Env env) const {
  const std::lock_guard lock(state_->mutex);
  if (state_->open) state_->function.Unref(env);
}

bool JsQueue::Post(JsTask&& task) const {
  auto owned = std::make_unique<JsTask>(std::move(task));
  const std::lock_guard lock(state_->mutex);
  if (state_->open && state_->function.NonBlockingCall(owned.get()) == napi_ok) {
    owned.release();
    return true;
  }
  task = std::move(*owned);
  return false;
}

void JsQueue::Release() const {
  if (state_ == nullptr) return;
  const std::lock_guard lock(state_->mutex);
  if (state_->open) state_->function.Release();
  state_->open = false;
}

Napi::Value ErrorToJs(Napi::Env env, const Error& error) {
  const Napi::Error js = Napi::Error::New(env, error.what());
  js.Value().Set("code", Napi::String::New(env, ErrorCodeName(error.code())));
  return js.Value();
}

Napi::Promise RunAsync(Napi::Env env, const char* name,
                       std::function<std::function<Napi::Value(Napi::Env)>()> work, WithoutThread without) {
  const auto deferred = std::make_shared<Napi::Promise::Deferred>(Napi::Promise::Deferred::New(env));
  const JsQueue queue(env, name);
  auto run = [deferred, queue, work = std::move(work)]() mutable {
    JsTask settle;
    try {
      settle = [deferred, convert = work()](Napi::Env js) {
        try {
          deferred->Resolve(convert(js));
        } catch (const Napi::Error& error) {
          deferred->Reject(error.Value());
        }
      };
    } catch (const Error& error) {
      settle = [deferred, error](Napi::Env js) { deferred->Reject(ErrorToJs(js, error)); };
    } catch (const std::bad_alloc&) {
      settle = [deferred](Napi::Env js) {
        deferred->Reject(
            ErrorToJs(js, Error(ErrorCode::kInsufficientMemory, "The process is out of memory")));
      };
    } catch (const std::exception& error) {
      const Error wrapped(ErrorCode::kInternal, error.what());
      settle = [deferred, wrapped](Napi::Env js) { deferred->Reject(ErrorToJs(js, wrapped)); };
    }
    work = nullptr;  // what it holds is released before the caller hears of it
    queue.Post(std::move(settle));
    queue.Release();
  };
  const auto shared = std::make_shared<decltype(run)>(std::move(run));
  try {
    StartThread([shared] { (*shared)(); }).detach();
  } catch (const Error& error) {
    if (without == WithoutThread::kRunHere) {
      (*shared)();
    } else {
      queue.Release();
      deferred->Reject(ErrorToJs(env, error));
    }
  }
  return deferred->Promise();
}

}  // namespace kvasir::addon
