"""what servers of vectors hold of each knowledge base

Revision: 0013
After: 0012
"""

from typing import Any

import server.db.base
import sqlalchemy as sa
from alembic import op

revision = '0013'
down_revision = '0012'
branch_labels = None
depends_on = None

CHARSET: Any = {
    'mysql_charset': 'utf8mb4',
    'mysql_collate': 'utf8mb4_bin',
    'mariadb_charset': 'utf8mb4',
    'mariadb_collate': 'utf8mb4_bin',
}


def upgrade() -> None:
    op.create_table('vector_slot',
    sa.Column('id', sa.String(length=32), nullable=False),
    sa.Column('kb_id', sa.String(length=32), nullable=False),
    sa.Column('store', sa.String(length=16), nullable=False),
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('dimension', sa.Integer(), nullable=False),
    sa.Column('generation', sa.Integer(), nullable=False),
    sa.Column('lease_owner', sa.String(length=64), nullable=True),
    sa.Column('lease_until', server.db.base.UTCDateTime(), nullable=True),
    sa.Column('used_at', server.db.base.UTCDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_vector_slot')),
    sa.UniqueConstraint('store', 'name', name=op.f('uq_vector_slot_store_name')),
    **CHARSET
    )
    op.create_index(op.f('ix_vector_slot_kb_id'), 'vector_slot', ['kb_id'], unique=False)
    op.create_table('slot_segment',
    sa.Column('slot_id', sa.String(length=32), nullable=False),
    sa.Column('segment', sa.String(length=64), nullable=False),
    sa.Column('chunks', sa.Integer(), nullable=False),
    sa.Column('written', sa.Boolean(), nullable=False),
    sa.ForeignKeyConstraint(['slot_id'], ['vector_slot.id'], name=op.f('fk_slot_segment_slot_id_vector_slot'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('slot_id', 'segment', name=op.f('pk_slot_segment')),
    **CHARSET
    )


def downgrade() -> None:
    op.drop_table('slot_segment')
    op.drop_index(op.f('ix_vector_slot_kb_id'), table_name='vector_slot')
    op.drop_table('vector_slot')
