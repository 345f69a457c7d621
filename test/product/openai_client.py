"""Asks a running server through OpenAI's own client, as it is: openai_client.py ADDRESS KEY

Prints one line of JSON with what the answers were; the test compares them. What the client itself cannot read raises.
"""

import asyncio
import json
import sys

import openai
import pydantic

address, key = sys.argv[1:]
client = openai.OpenAI(api_key=key, base_url=f"{address}/v1", max_retries=0)
hello = [{"role": "user", "content": "Once upon a time"}]
model = "stories"


class Person(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    name: str = pydantic.Field(max_length=8)
    age: int = pydantic.Field(ge=0, le=150)


def lists():
    return {"ids": [one.id for one in client.models.list()], "one": client.models.retrieve(model).id}


def chats():
    request = {"model": model, "messages": hello, "max_completion_tokens": 12}
    whole = client.chat.completions.create(**request)
    chunks = list(client.chat.completions.create(**request, stream=True, stream_options={"include_usage": True}))
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
    return {
        "whole": whole.choices[0].message.content,
        "finish": whole.choices[0].finish_reason,
        "streamed": "".join(choice.delta.content or "" for choice in choices),
        "roles": [choice.delta.role for choice in choices if choice.delta.role],
        "usage": [whole.usage.total_tokens, chunks[-1].usage.total_tokens],
        "fingerprint": whole.system_fingerprint,
    }


def logprobs():
    request = {"model": model, "messages": hello, "max_tokens": 5, "logprobs": True, "top_logprobs": 3}
    whole = client.chat.completions.create(**request).choices[0]
    streamed = [
        token
        for chunk in client.chat.completions.create(**request, stream=True)
        if chunk.choices and chunk.choices[0].logprobs
        for token in chunk.choices[0].logprobs.content
    ]
    tokens = whole.logprobs.content
    return {
        "text": whole.message.content,
        "tokens": "".join(one.token for one in tokens),
        "tops": [len(one.top_logprobs) for one in tokens],
        "most": max(one.logprob for one in tokens),
        "same": [one.model_dump() for one in tokens] == [one.model_dump() for one in streamed],
    }


def gathers():
    # It takes no answer that was cut.
    with client.chat.completions.stream(model=model, messages=hello, max_tokens=200, stop=".") as stream:
        deltas = "".join(event.delta for event in stream if event.type == "content.delta")
        final = stream.get_final_completion()
    return {"deltas": deltas, "final": final.choices[0].message.content}


def completes():
    request = {"model": model, "prompt": "One day", "max_tokens": 6}
    whole = client.completions.create(**request)
    streamed = "".join(chunk.choices[0].text for chunk in client.completions.create(**request, stream=True))
    return {"whole": whole.choices[0].text, "streamed": streamed}


def embeds():
    texts = ["a dog", "a cat"]
    # It asks for base64 unless told otherwise, and decodes it itself.
    coded = client.embeddings.create(model=model, input=texts)
    plain = client.embeddings.create(model=model, input=texts, encoding_format="float")
    vectors = [[one.embedding for one in reply.data] for reply in (coded, plain)]
    far = max(abs(a - b) for one, other in zip(*vectors) for a, b in zip(one, other))
    return {"sizes": [len(vector) for vector in vectors[0]], "far": far}


def responds():
    request = {"model": model, "input": "Once upon a time", "max_output_tokens": 8}
    whole = client.responses.create(**request)
    events = list(client.responses.create(**request, stream=True))
    choice = {"type": "object", "properties": {"a": {"enum": ["x", "y"]}}, "required": ["a"]}
    whole_format = {"type": "json_schema", "name": "a", "strict": True, "schema": {**choice, "additionalProperties": False}}
    ended = {**request, "max_output_tokens": 40, "text": {"format": whole_format}}
    with client.responses.stream(**ended) as stream:
        for _ in stream:
            pass
        final = stream.get_final_response()
    return {
        "whole": whole.output_text,
        "ids": [whole.id[:5], whole.output[0].id[:4]],
        "deltas": "".join(event.delta for event in events if event.type == "response.output_text.delta"),
        "last": events[-1].response.output_text,
        "final": [final.status, json.loads(final.output_text)["a"]],
    }


def calls():
    parameters = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    function = {"name": "tell", "strict": True, "parameters": parameters}
    request = {
        "model": model,
        "messages": hello,
        "max_tokens": 80,
        "tools": [{"type": "function", "function": function}],
        "tool_choice": "required",
    }
    whole = client.chat.completions.create(**request).choices[0].message.tool_calls[0]
    with client.chat.completions.stream(**request) as stream:
        streamed = stream.get_final_completion().choices[0].message.tool_calls[0]
    return [[one.function.name, json.loads(one.function.arguments)] for one in (whole, streamed)]


def parses():
    request = {"model": model, "messages": hello, "max_tokens": 60, "temperature": 1, "seed": 3}
    person = client.chat.completions.parse(**request, response_format=Person).choices[0].message.parsed
    return {"type": type(person).__name__, "age": person.age, "name": person.name}


def fails():
    def told(ask):
        try:
            ask()
        except openai.APIStatusError as error:
            return [type(error).__name__, error.status_code, error.param, error.code]
        except openai.APITimeoutError as error:
            return [type(error).__name__]
        return "nothing"

    chat = client.chat.completions.create
    stranger = openai.OpenAI(api_key="guess", base_url=f"{address}/v1", max_retries=0)
    hasty = client.with_options(timeout=0.2)
    return {
        "wrong": told(lambda: chat(model=model, messages=hello, temperature=-1)),
        "unknown": told(lambda: chat(model="gpt-5", messages=hello)),
        "stranger": told(stranger.models.list),
        "long": told(lambda: chat(model=model, messages=[{"role": "user", "content": "Once upon " * 9000}])),
        "late": told(
            lambda: hasty.completions.create(
                model=model, prompt="One", max_tokens=3900, n=8, extra_body={"ignore_eos": True}
            )
        ),
    }


async def asks_at_once():
    async with openai.AsyncOpenAI(api_key=key, base_url=f"{address}/v1", max_retries=0) as many:

        async def ask(seed):
            reply = await many.completions.create(
                model=model, prompt="One day", max_tokens=16, temperature=1, seed=seed
            )
            return reply.choices[0].text

        together = await asyncio.gather(*(ask(seed) for seed in range(8)))
        alone = [await ask(seed) for seed in range(8)]
        # Left in the middle: the server ends its run.
        stream = await many.chat.completions.create(model=model, messages=hello, max_tokens=3900, stream=True)
        async for _ in stream:
            break
        await stream.close()
    return {"same": together == alone, "texts": len(set(together))}


def raw():
    reply = client.chat.completions.with_raw_response.create(model=model, messages=hello, max_tokens=2)
    return {"id": reply.headers["x-request-id"], "usage": reply.parse().usage.completion_tokens}


checks = [lists, chats, logprobs, gathers, completes, embeds, responds, calls, parses, fails, raw]
results = {check.__name__: check() for check in checks}
results["at_once"] = asyncio.run(asks_at_once())
results["version"] = openai.__version__
print(json.dumps(results))
