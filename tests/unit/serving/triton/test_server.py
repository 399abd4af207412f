from serving.triton.server import free_ports


def test_free_ports_are_different():
    assert len(set(free_ports(5))) == 5
