import os

from keras_simplepose.utils.native_notes import without_native_notes


def test_information_is_dropped_and_all_else_is_printed(capfd):
    with without_native_notes():
        os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n")
        os.write(2, b"I0000 00:00:1.2 3 stub.cc:31] Could not find drivers.\n")
        os.write(2, b"E0000 00:00:1.2 3 stub.cc:32] A fault.\nTraceback\n")
    os.write(2, b"I0000 after\n")
    assert capfd.readouterr().err == "E0000 00:00:1.2 3 stub.cc:32] A fault.\nTraceback\nI0000 after\n"


def test_what_was_held_back_is_printed_when_the_block_fails(capfd):
    try:
        with without_native_notes():
            os.write(2, b"why it failed\n")
            raise ImportError
    except ImportError:
        pass
    assert capfd.readouterr().err == "why it failed\n"
