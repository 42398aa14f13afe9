"""The family for tables: shapes, distributions, and attention as the formula has it."""

from __future__ import annotations

import torch

from shared.models.transformer import Block, classified
from shared.settings import NetworkSettings
from tests.support.networks import LARGE, TABLE, inputs, network


def test_features_have_the_shapes_that_the_seam_promises() -> None:
    found = network(TABLE, LARGE).features(torch.from_numpy(inputs(TABLE, 5)))
    assert found.logits.shape == (5, 2)
    assert [tuple(state.shape) for state in found.hidden_states] == [(5, 5, 16)] * 4
    assert [tuple(one.shape) for one in found.attentions] == [(5, 4, 5, 5)] * 3
    for attention in found.attentions:
        torch.testing.assert_close(attention.sum(dim=-1), torch.ones(5, 4, 5))


def test_forward_gives_the_logits_of_the_features() -> None:
    model, batch = network(), torch.from_numpy(inputs(TABLE, 5))
    assert torch.equal(model(batch), model.features(batch).logits)


def test_a_block_is_torchs_pre_norm_attention() -> None:
    block = Block(NetworkSettings(width=8, depth=1, heads=2))
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(parameter.numel()))
    hidden = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(1))
    found, attention = block(hidden)
    twin = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    twin.load_state_dict(
        {
            "in_proj_weight": block.query_key_value.weight,
            "in_proj_bias": block.query_key_value.bias,
            "out_proj.weight": block.mix.weight,
            "out_proj.bias": block.mix.bias,
        }
    )
    normed = block.attention_norm(hidden)
    mixed, expected_attention = twin(normed, normed, normed, average_attn_weights=False)
    middle = hidden + mixed
    expected = middle + block.narrow(torch.relu(block.widen(block.feed_norm(middle))))
    torch.testing.assert_close(attention, expected_attention)
    torch.testing.assert_close(found, expected)


def test_what_is_classified_is_the_first_token_after_all_blocks() -> None:
    blocks = [Block(NetworkSettings(width=8, depth=1, heads=2)) for _ in range(3)]
    for block in blocks:
        for parameter in block.parameters():
            torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(parameter.numel()))
    hidden, norm, head = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(1)), torch.nn.LayerNorm(8), torch.nn.Linear(8, 2)
    found = classified(hidden, blocks, norm, head)
    assert torch.equal(found.hidden_states[0], hidden)
    for before, after, attention, block in zip(found.hidden_states, found.hidden_states[1:], found.attentions, blocks, strict=False):
        expected, maps = block(before)
        assert torch.equal(after, expected)
        assert torch.equal(attention, maps)
    assert torch.equal(found.logits, head(torch.relu(norm(found.hidden_states[3][:, 0]))))
