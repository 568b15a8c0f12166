"""How an operator stops the real program over its admin port."""

import aiohttp


async def test_quitquitquit_ends_the_program_in_good_order(sidecar):
    program = await sidecar("up", "--port", "0", "--admin-port", "0")
    await program.until("sessions")
    admin = next(line for line in program.printed if line.startswith("admin")).split()[1].rstrip("/")
    base = "/".join(admin.split("/")[:3])
    async with aiohttp.ClientSession() as client, client.post(f"{base}/quitquitquit") as answer:
        assert (answer.status, await answer.text()) == (200, "OK\n")
    code, log = await program.end()
    assert (code, "Traceback" in log) == (0, False)
    assert "POST /quitquitquit answered 200" in log
