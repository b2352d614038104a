"""sso state

Revision: 0003
After: 0002
"""

import server.db.base
import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('sso_state',
    sa.Column('state_hash', sa.String(length=64), nullable=False),
    sa.Column('browser_hash', sa.String(length=64), nullable=False),
    sa.Column('expires_at', server.db.base.UTCDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('state_hash', name=op.f('pk_sso_state')),
    mariadb_charset='utf8mb4',
    mariadb_collate='utf8mb4_bin',
    mysql_charset='utf8mb4',
    mysql_collate='utf8mb4_bin'
    )
    with op.batch_alter_table('sso_state', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_sso_state_expires_at'), ['expires_at'], unique=False)


def downgrade() -> None:
    with op.batch_alter_table('sso_state', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_sso_state_expires_at'))

    op.drop_table('sso_state')
