"""client options: tokens in several RSA blocks, percent-encoded fields

Revision: 0005
After: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Never as a batch, see 0002.
    op.add_column('client', sa.Column('max_blocks', sa.Integer(), nullable=False, server_default='1'))
    op.add_column('client', sa.Column('pct_fields', sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    op.drop_column('client', 'pct_fields')
    op.drop_column('client', 'max_blocks')
