"""client networks: where a client's tokens may come from

Revision: 0006
After: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Never as a batch, see 0002.
    op.add_column('client', sa.Column('networks', sa.String(length=1000), nullable=False, server_default=''))


def downgrade() -> None:
    op.drop_column('client', 'networks')
